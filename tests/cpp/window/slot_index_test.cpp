#include "window/slot_index.hpp"

#include <gtest/gtest.h>

#include <map>
#include <random>

namespace llmopt_stream {
namespace {

TEST(SlotIndex, SlotsAreGivenInOrderOfArrival) {
    SlotIndex index;
    EXPECT_EQ(index.find(5), SlotIndex::kNone);
    EXPECT_EQ(index.add(5), 0U);
    EXPECT_EQ(index.add(0), 1U);
    EXPECT_EQ(index.find(5), 0U);
    EXPECT_EQ(index.find(0), 1U);
    EXPECT_EQ(index.find(1), SlotIndex::kNone);
    index.clear();
    EXPECT_EQ(index.find(5), SlotIndex::kNone);
    EXPECT_EQ(index.size(), 0U);
}

// Few codes of a wide range stay hashed, many become an array; both must agree with a map.
class SlotIndexOverCodes : public testing::TestWithParam<std::uint32_t> {};

TEST_P(SlotIndexOverCodes, AgreesWithAMap) {
    SlotIndex index;
    std::map<std::uint32_t, std::uint32_t> expected;
    std::mt19937 random(11);
    for (int step = 0; step < 5'000; ++step) {
        const std::uint32_t code = random() % GetParam();
        const auto known = expected.find(code);
        ASSERT_EQ(index.find(code), known == expected.end() ? SlotIndex::kNone : known->second);
        if (known == expected.end()) {
            const std::uint32_t slot = index.add(code);
            ASSERT_EQ(slot, expected.size());
            expected.emplace(code, slot);
        }
    }
    EXPECT_EQ(index.size(), expected.size());
}

INSTANTIATE_TEST_SUITE_P(Ranges, SlotIndexOverCodes, testing::Values(1, 10, 1'000, 20'000, 4'000'000));

}  // namespace
}  // namespace llmopt_stream
