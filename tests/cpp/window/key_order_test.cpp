#include "window/key_order.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "record/key.hpp"
#include "window/slice.hpp"

namespace llmopt_stream {
namespace {

KeyInterner::Code intern(SliceContext& context, const std::string& key) {
    return context.keys.intern(key, hash_key(key));
}

std::vector<std::string> keys_in_order(SliceContext& context, KeyOrder& order, const Slice& slice) {
    std::vector<std::string> keys;
    for (const std::uint32_t place : order.places_of(slice.codes())) {
        keys.emplace_back(context.keys.key(slice.codes()[place]));
    }
    return keys;
}

TEST(KeyOrder, PlacesAreInTheOrderOfKeysWhateverTheKeysBeforeWere) {
    SliceContext context{MetricRow({})};
    KeyOrder order(context.keys);
    std::mt19937 random(7);
    for (int round = 0; round < 300; ++round) {
        // Codes are released with each slice, and then mean other keys.
        Slice slice(context, Interval{0, 1});
        std::vector<std::string> expected;
        for (int key = 0; key < 40; ++key) {
            if (random() % 3 != 0) {
                expected.push_back(std::to_string((random() % 1'000) * 40 + static_cast<unsigned>(key)));
                static_cast<void>(slice.find_or_create(intern(context, expected.back())));
            }
        }
        std::sort(expected.begin(), expected.end());
        ASSERT_EQ(keys_in_order(context, order, slice), expected);
    }
}

TEST(KeyOrder, KeysOfAllLengthsAndBytesCompareByteByByte) {
    std::mt19937 random(11);
    for (const std::size_t count : {5U, 300U, 3'000U}) {
        for (const std::string_view shared : {"", "a", "shared by all of them"}) {
            SliceContext context{MetricRow({})};
            KeyOrder order(context.keys);
            Slice slice(context, Interval{0, 1});
            std::set<std::string> expected;
            while (expected.size() < count) {
                std::string key(shared);
                for (std::size_t size = random() % 20; size > 0; --size) {
                    // Zeros, as behind the end of a shorter key, and bytes that a signed char would put
                    // first.
                    key.push_back("\0\0a\xFF"[random() % 4]);
                }
                if (expected.insert(key).second) {
                    static_cast<void>(slice.find_or_create(intern(context, key)));
                }
            }
            EXPECT_EQ(keys_in_order(context, order, slice),
                      std::vector<std::string>(expected.begin(), expected.end()));
        }
    }
}

TEST(KeyOrder, NoKeysHaveNoPlaces) {
    SliceContext context{MetricRow({})};
    KeyOrder order(context.keys);
    Slice slice(context, Interval{0, 1});
    EXPECT_TRUE(keys_in_order(context, order, slice).empty());
    static_cast<void>(slice.find_or_create(intern(context, "a")));
    EXPECT_EQ(keys_in_order(context, order, slice), std::vector<std::string>{"a"});
}

}  // namespace
}  // namespace llmopt_stream
