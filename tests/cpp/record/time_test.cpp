#include "record/time.hpp"

#include <gtest/gtest.h>

namespace llmopt_stream {
namespace {

TEST(AddSaturating, StaysAtTheEndsOfTheRange) {
    EXPECT_EQ(add_saturating(kMaxTimestamp, 1), kMaxTimestamp);
    EXPECT_EQ(add_saturating(kMinTimestamp, -1), kMinTimestamp);
    EXPECT_EQ(add_saturating(kMaxTimestamp - 1, 1), kMaxTimestamp);
    EXPECT_EQ(add_saturating(kMaxTimestamp, kMinTimestamp), -1);
}

TEST(FloorMod, IsNeverNegative) {
    EXPECT_EQ(floor_mod(7, 5), 2);
    EXPECT_EQ(floor_mod(-7, 5), 3);
    EXPECT_EQ(floor_mod(-5, 5), 0);
    EXPECT_EQ(floor_mod(kMinTimestamp, 1), 0);
}

TEST(FloorTo, ATimeOnTheGridIsItsOwnFloor) {
    EXPECT_EQ(floor_to(10, 5, 0), 10);
    EXPECT_EQ(floor_to(9, 5, 0), 5);
    EXPECT_EQ(floor_to(11, 5, 0), 10);
}

TEST(FloorTo, GoesDownBeforeTheEpoch) {
    EXPECT_EQ(floor_to(-1, 5, 0), -5);
    EXPECT_EQ(floor_to(-5, 5, 0), -5);
    EXPECT_EQ(floor_to(-6, 5, 0), -10);
}

TEST(FloorTo, TheOffsetMovesTheGridInEitherDirection) {
    EXPECT_EQ(floor_to(10, 5, 2), 7);
    EXPECT_EQ(floor_to(10, 5, -3), 7);
    EXPECT_EQ(floor_to(10, 5, 12), 7);
}

TEST(FloorTo, SaturatesInsteadOfWrapping) { EXPECT_EQ(floor_to(kMinTimestamp, 1000, 0), kMinTimestamp); }

}  // namespace
}  // namespace llmopt_stream
