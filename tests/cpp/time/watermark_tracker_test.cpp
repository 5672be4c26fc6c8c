#include "time/watermark_tracker.hpp"

#include <gtest/gtest.h>

namespace llmopt_stream {
namespace {

std::vector<Timestamp> after(WatermarkTracker& tracker, std::vector<Timestamp> times,
                             std::uint32_t partition = 0) {
    std::vector<Timestamp> watermarks;
    tracker.on_records(times, partition, watermarks);
    return watermarks;
}

TEST(WatermarkTracker, TrailsTheGreatestTimeByTheBoundAndNeverGoesBack) {
    WatermarkTracker tracker(5);
    EXPECT_EQ(after(tracker, {10, 7, 12}), (std::vector<Timestamp>{5, 5, 7}));
    EXPECT_EQ(tracker.current(), 7);
}

TEST(WatermarkTracker, WithoutABoundOnlyAdvanceMovesIt) {
    WatermarkTracker tracker(std::nullopt);
    EXPECT_EQ(after(tracker, {10, 20}), (std::vector<Timestamp>{kMinTimestamp, kMinTimestamp}));
    tracker.advance(15);
    tracker.advance(12);
    EXPECT_EQ(tracker.current(), 15);
}

TEST(WatermarkTracker, IsTheMinimumOfThePartitions) {
    WatermarkTracker tracker(0);
    EXPECT_EQ(after(tracker, {10}, 0), (std::vector<Timestamp>{10}));
    EXPECT_EQ(after(tracker, {3}, 1), (std::vector<Timestamp>{10}));  // it does not go back
    EXPECT_EQ(after(tracker, {50}, 0), (std::vector<Timestamp>{10}));
    EXPECT_EQ(after(tracker, {20, 60}, 1), (std::vector<Timestamp>{20, 50}));
}

TEST(WatermarkTracker, EndsOfTheTimeRangeAreHeld) {
    WatermarkTracker tracker(5);
    EXPECT_EQ(after(tracker, {kMinTimestamp + 1}), (std::vector<Timestamp>{kMinTimestamp}));
}

TEST(WatermarkTracker, WithAnIntervalItMovesInSteps) {
    WatermarkTracker tracker(5, 10);
    // 100 is the first record; 109 is just before the next step, 110 exactly at it.
    EXPECT_EQ(after(tracker, {100, 109, 105, 110, 119, 125, 134, 135}),
              (std::vector<Timestamp>{95, 95, 95, 105, 105, 120, 120, 130}));
}

TEST(WatermarkTracker, StepsAreOfEachPartitionAndSurviveARestore) {
    WatermarkTracker tracker(0, 10);
    after(tracker, {100, 105}, 0);
    after(tracker, {200}, 1);
    ByteWriter out;
    tracker.encode(out);
    WatermarkTracker restored(0, 10);
    ByteReader in(out.bytes());
    restored.decode(in);
    EXPECT_EQ(after(restored, {109, 110}, 0), (std::vector<Timestamp>{100, 110}));
}

TEST(WatermarkTracker, GivenWatermarksNeverGoBack) {
    WatermarkTracker tracker(std::nullopt);
    std::vector<Timestamp> watermarks;
    tracker.on_records(std::vector<Timestamp>{1, 2, 3}, 0, watermarks,
                       std::vector<Timestamp>{kMinTimestamp, 7, 3});
    EXPECT_EQ(watermarks, (std::vector<Timestamp>{kMinTimestamp, 7, 7}));
    tracker.on_records(std::vector<Timestamp>{1, 2}, 1, watermarks, std::vector<Timestamp>{4, 9});
    EXPECT_EQ(watermarks, (std::vector<Timestamp>{7, 7}));
}

TEST(WatermarkTracker, DecodeRestoresWhatEncodeWrote) {
    WatermarkTracker tracker(0);
    after(tracker, {10}, 0);
    after(tracker, {30}, 4);
    ByteWriter out;
    tracker.encode(out);
    WatermarkTracker restored(0);
    ByteReader in(out.bytes());
    restored.decode(in);
    EXPECT_EQ(in.remaining(), 0U);
    EXPECT_EQ(after(restored, {40}, 0), (std::vector<Timestamp>{30}));
}

}  // namespace
}  // namespace llmopt_stream
