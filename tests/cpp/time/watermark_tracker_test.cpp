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
