#include "window/key_interner.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "record/key.hpp"

namespace llmopt_stream {
namespace {

KeyInterner::Code intern(KeyInterner& keys, const std::string& key) {
    return keys.intern(key, hash_key(key));
}

TEST(KeyInterner, SameKeyHasOneCode) {
    SizeClassPool pool;
    KeyInterner keys(pool);
    const auto a = intern(keys, "a");
    keys.hold(a);
    EXPECT_EQ(intern(keys, "a"), a);
    EXPECT_NE(intern(keys, "b"), a);
    EXPECT_EQ(keys.key(a), "a");
}

TEST(KeyInterner, EmptyKeyIsAKey) {
    SizeClassPool pool;
    KeyInterner keys(pool);
    const auto code = intern(keys, "");
    keys.hold(code);
    EXPECT_EQ(intern(keys, ""), code);
    EXPECT_EQ(keys.key(code), "");
    keys.release(code);
    EXPECT_EQ(keys.live(), 0U);
}

TEST(KeyInterner, CodeIsReusedOnlyAfterItsLastHolderIsGone) {
    SizeClassPool pool;
    KeyInterner keys(pool);
    const auto a = intern(keys, "a");
    const std::uint32_t generation = keys.generation(a);
    keys.hold(a);
    keys.hold(a);
    keys.release(a);
    EXPECT_NE(intern(keys, "b"), a);
    EXPECT_EQ(keys.generation(a), generation);
    keys.release(a);
    EXPECT_NE(keys.generation(a), generation);
    EXPECT_EQ(pool.allocated_bytes(), 0U);
    const auto c = intern(keys, "c");
    const auto d = intern(keys, "d");
    EXPECT_EQ(std::min(c, d), a);
}

TEST(KeyInterner, AKeyThatComesBackSoonHasItsCodeStill) {
    SizeClassPool pool;
    KeyInterner keys(pool);
    const auto other = intern(keys, "other");
    keys.hold(other);
    const auto a = intern(keys, "a");
    const std::uint32_t generation = keys.generation(a);
    keys.hold(a);
    keys.release(a);
    EXPECT_EQ(keys.live(), 1U);
    EXPECT_EQ(intern(keys, "a"), a);
    EXPECT_EQ(keys.generation(a), generation);
    keys.hold(a);
    EXPECT_EQ(keys.live(), 2U);
}

TEST(KeyInterner, KeysOfAWindowHaveTheirCodesStillInTheNext) {
    SizeClassPool pool;
    KeyInterner keys(pool);
    keys.hold(intern(keys, "other"));
    std::vector<KeyInterner::Code> codes;
    for (int number = 0; number < 5'000; ++number) {
        codes.push_back(intern(keys, "key-" + std::to_string(number)));
        keys.hold(codes.back());
    }
    for (const auto code : codes) {
        keys.release(code);
    }
    for (int number = 0; number < 5'000; ++number) {
        EXPECT_EQ(intern(keys, "key-" + std::to_string(number)), codes[static_cast<std::size_t>(number)]);
    }
    EXPECT_EQ(keys.code_limit(), 5'001U);
}

TEST(KeyInterner, KeysThatNobodyHoldsAreNoMoreThanThoseHeldAndAThousand) {
    SizeClassPool pool;
    KeyInterner keys(pool);
    const auto held = intern(keys, "held");
    keys.hold(held);
    for (int number = 0; number < 20'000; ++number) {
        const auto code = intern(keys, "key-" + std::to_string(number));
        keys.hold(code);
        keys.release(code);
    }
    EXPECT_EQ(keys.live(), 1U);
    EXPECT_LT(keys.code_limit(), 1'100U);
    EXPECT_EQ(keys.key(held), "held");
}

TEST(KeyInterner, OrderIsThatOfTheBytesEvenBehindEqualPrefixes) {
    SizeClassPool pool;
    KeyInterner keys(pool);
    const auto shorter = intern(keys, "tenant-0");
    const auto longer = intern(keys, "tenant-01");
    const auto other = intern(keys, "\xFFz");
    EXPECT_TRUE(keys.less(shorter, longer));
    EXPECT_FALSE(keys.less(longer, shorter));
    EXPECT_TRUE(keys.less(longer, other));
    EXPECT_FALSE(keys.less(other, other));
}

TEST(KeyInterner, AgreesWithAMapWhileKeysComeAndGo) {
    SizeClassPool pool;
    KeyInterner keys(pool);
    std::map<std::string, KeyInterner::Code> live;
    std::mt19937 random(7);
    for (int step = 0; step < 200'000; ++step) {
        const std::string key = "key-" + std::to_string(random() % 600);
        const auto known = live.find(key);
        if (known == live.end()) {
            const auto code = intern(keys, key);
            keys.hold(code);
            live.emplace(key, code);
        } else if (random() % 2 == 0) {
            ASSERT_EQ(intern(keys, key), known->second);
            ASSERT_EQ(keys.key(known->second), key);
        } else {
            keys.release(known->second);
            live.erase(known);
        }
        ASSERT_EQ(keys.live(), live.size());
    }
    EXPECT_LE(keys.code_limit(), 600U);
    for (const auto& [key, code] : live) {
        keys.release(code);
    }
    EXPECT_EQ(pool.allocated_bytes(), 0U);
}

}  // namespace
}  // namespace llmopt_stream
