#include "window/key_order.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <string>

#include "record/key.hpp"

namespace llmopt_stream {
namespace {

KeyInterner::Code intern(SliceContext& context, const std::string& key) {
    return context.keys.intern(key, hash_key(key));
}

std::vector<std::string> keys_in_order(SliceContext& context, KeyOrder& order, const Slice& slice) {
    std::vector<std::string> keys;
    MergedRows rows(context);
    rows.merge(slice);
    for (const std::uint32_t slot : order.slots_of(rows)) {
        keys.emplace_back(context.keys.key(rows.codes()[slot]));
    }
    return keys;
}

TEST(KeyOrder, SlotsAreInTheOrderOfKeysWhateverTheRowsBeforeHad) {
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

TEST(KeyOrder, NoKeysHaveNoSlots) {
    SliceContext context{MetricRow({})};
    KeyOrder order(context.keys);
    Slice slice(context, Interval{0, 1});
    EXPECT_TRUE(keys_in_order(context, order, slice).empty());
    static_cast<void>(slice.find_or_create(intern(context, "a")));
    EXPECT_EQ(keys_in_order(context, order, slice), std::vector<std::string>{"a"});
}

}  // namespace
}  // namespace llmopt_stream
