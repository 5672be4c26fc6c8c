#include "record/key.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "record/error.hpp"
#include "record/key_dictionary.hpp"

namespace llmopt_stream {
namespace {

std::string encoded(const KeyValue& value) {
    std::string bytes;
    key_encoding::append(bytes, value);
    return bytes;
}

const double kNan = std::numeric_limits<double>::quiet_NaN();
const double kInfinity = std::numeric_limits<double>::infinity();

// In the order in which keys sort.
const std::vector<KeyValue> kOrdered = {
    std::monostate{},
    false,
    true,
    -kInfinity,
    -1e300,
    std::numeric_limits<std::int64_t>::min(),
    std::int64_t{-(1LL << 53) - 1},
    std::int64_t{-(1LL << 53)},
    std::int64_t{-2},
    -1.5,
    std::int64_t{-1},
    std::int64_t{0},
    5e-324,
    0.5,
    std::int64_t{1},
    std::int64_t{1LL << 53},
    std::int64_t{(1LL << 53) + 1},
    std::numeric_limits<std::int64_t>::max(),
    std::uint64_t{1} << 63,
    std::numeric_limits<std::uint64_t>::max(),
    1e300,
    kInfinity,
    kNan,
    std::string(""),
    std::string("\0", 1),
    std::string("\0a", 2),
    std::string("\x01"),
    std::string("a"),
    std::string("a\0", 2),
    std::string("a\0b", 3),
    std::string("ab"),
    std::string("b"),
    std::string("\xC3\xA9"),
};

TEST(KeyEncoding, ByteOrderIsTheOrderOfTheValues) {
    for (std::size_t a = 0; a < kOrdered.size(); ++a) {
        for (std::size_t b = 0; b < kOrdered.size(); ++b) {
            EXPECT_EQ(encoded(kOrdered[a]) < encoded(kOrdered[b]), a < b) << a << ' ' << b;
        }
    }
}

TEST(KeyEncoding, FieldsCompareFromLeftToRight) {
    EXPECT_LT(encoded(std::string("a")) + encoded(std::string("z")),
              encoded(std::string("aa")) + encoded(false));
    EXPECT_LT(encoded(std::int64_t{1}) + encoded(true), encoded(1.5) + encoded(false));
}

TEST(KeyEncoding, EqualNumbersAreOneKeyWhateverTheirType) {
    EXPECT_EQ(encoded(1.0), encoded(std::int64_t{1}));
    EXPECT_EQ(encoded(-0.0), encoded(std::int64_t{0}));
    EXPECT_EQ(encoded(0x1p63), encoded(std::uint64_t{1} << 63));
    EXPECT_EQ(encoded(kNan), encoded(-kNan));
    EXPECT_NE(encoded(true), encoded(std::int64_t{1}));
}

TEST(KeyEncoding, DecodeGivesTheValuesBack) {
    std::string bytes;
    for (const KeyValue& value : kOrdered) {
        key_encoding::append(bytes, value);
    }
    const std::vector<KeyValue> decoded = key_encoding::decode(bytes);
    ASSERT_EQ(decoded.size(), kOrdered.size());
    for (std::size_t field = 0; field < decoded.size(); ++field) {
        EXPECT_EQ(encoded(decoded[field]), encoded(kOrdered[field])) << field;
    }
}

TEST(KeyEncoding, BytesThatNobodyWroteAreRefused) {
    const std::string number = encoded(0.5);
    for (std::size_t size = 1; size < number.size(); ++size) {
        EXPECT_THROW((void)key_encoding::decode(number.substr(0, size)), Error);
    }
    EXPECT_THROW((void)key_encoding::decode("\x05unfinished"), Error);
    EXPECT_THROW((void)key_encoding::decode("\x09"), Error);
}

TEST(KeyDictionary, GivesEachDistinctKeyTheNextIndex) {
    KeyDictionary keys;
    for (int round = 0; round < 2; ++round) {
        for (int key = 0; key < 1'000; ++key) {
            EXPECT_EQ(keys.intern(std::to_string(key)), static_cast<std::uint32_t>(key));
        }
    }
    EXPECT_EQ(keys.size(), 1'000U);
    EXPECT_EQ(keys.key(999), "999");
    EXPECT_EQ(keys.hash(5), hash_key("5"));
    keys.clear();
    EXPECT_EQ(keys.size(), 0U);
    EXPECT_EQ(keys.intern("again"), 0U);
    EXPECT_EQ(keys.key(0), "again");
}

}  // namespace
}  // namespace llmopt_stream
