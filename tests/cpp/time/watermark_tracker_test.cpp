#include "time/watermark_tracker.hpp"

#include <gtest/gtest.h>

namespace llmopt_stream {
namespace {

std::vector<Timestamp> after(WatermarkTracker& tracker, std::vector<Timestamp> times,
                             std::uint32_t partition = 0, Timestamp now = 0) {
    std::vector<Timestamp> watermarks;
    tracker.on_records(times, partition, now, watermarks);
    return watermarks;
}

TEST(WatermarkTracker, TrailsTheGreatestTimeByTheBoundAndNeverGoesBack) {
    WatermarkTracker tracker({.max_out_of_orderness = 5});
    EXPECT_EQ(after(tracker, {10, 7, 12}), (std::vector<Timestamp>{5, 5, 7}));
    EXPECT_EQ(tracker.current(), 7);
}

TEST(WatermarkTracker, WithoutABoundOnlyAdvanceMovesIt) {
    WatermarkTracker tracker({});
    EXPECT_EQ(after(tracker, {10, 20}), (std::vector<Timestamp>{kMinTimestamp, kMinTimestamp}));
    tracker.advance(15);
    tracker.advance(12);
    EXPECT_EQ(tracker.current(), 15);
}

TEST(WatermarkTracker, IsTheMinimumOfThePartitions) {
    WatermarkTracker tracker({.max_out_of_orderness = 0});
    EXPECT_EQ(after(tracker, {10}, 0), (std::vector<Timestamp>{10}));
    EXPECT_EQ(after(tracker, {3}, 1), (std::vector<Timestamp>{10}));  // it does not go back
    EXPECT_EQ(after(tracker, {50}, 0), (std::vector<Timestamp>{10}));
    EXPECT_EQ(after(tracker, {20, 60}, 1), (std::vector<Timestamp>{20, 50}));
}

TEST(WatermarkTracker, EndsOfTheTimeRangeAreHeld) {
    WatermarkTracker tracker({.max_out_of_orderness = 5});
    EXPECT_EQ(after(tracker, {kMinTimestamp + 1}), (std::vector<Timestamp>{kMinTimestamp}));
}

TEST(WatermarkTracker, WithAnIntervalItMovesInSteps) {
    WatermarkTracker tracker({.max_out_of_orderness = 5, .interval = 10});
    // 100 is the first record; 109 is just before the next step, 110 exactly at it.
    EXPECT_EQ(after(tracker, {100, 109, 105, 110, 119, 125, 134, 135}),
              (std::vector<Timestamp>{95, 95, 95, 105, 105, 120, 120, 130}));
}

TEST(WatermarkTracker, StepsAreOfEachPartitionAndSurviveARestore) {
    WatermarkTracker tracker({.max_out_of_orderness = 0, .interval = 10});
    after(tracker, {100, 105}, 0);
    after(tracker, {200}, 1);
    ByteWriter out;
    tracker.encode(out);
    WatermarkTracker restored({.max_out_of_orderness = 0, .interval = 10});
    ByteReader in(out.bytes());
    restored.decode(in);
    EXPECT_EQ(after(restored, {109, 110}, 0), (std::vector<Timestamp>{100, 110}));
}

TEST(WatermarkTracker, AnIdlePartitionDoesNotHoldTheOthersBack) {
    WatermarkTracker tracker({.max_out_of_orderness = 0, .idle_timeout = 10});
    EXPECT_EQ(after(tracker, {100}, 0, 0), std::vector<Timestamp>{100});
    EXPECT_EQ(after(tracker, {50}, 1, 0), std::vector<Timestamp>{100});
    EXPECT_EQ(after(tracker, {200}, 0, 9), std::vector<Timestamp>{100});
    tracker.on_processing_time(10);
    EXPECT_EQ(tracker.current(), 200);
    // Back again, it does, but the watermark stays.
    EXPECT_EQ(after(tracker, {60}, 1, 11), std::vector<Timestamp>{200});
    EXPECT_EQ(after(tracker, {300}, 0, 12), std::vector<Timestamp>{200});
    EXPECT_EQ(after(tracker, {250}, 1, 13), std::vector<Timestamp>{250});
    tracker.on_processing_time(23);
    EXPECT_EQ(tracker.current(), 250);
    EXPECT_EQ(after(tracker, {301}, 0, 23), std::vector<Timestamp>{301});
}

TEST(WatermarkTracker, WhereAllAreIdleTheWatermarkStays) {
    WatermarkTracker tracker({.max_out_of_orderness = 0, .idle_timeout = 10});
    (void)after(tracker, {100}, 0, 0);
    (void)after(tracker, {90}, 1, 0);
    tracker.on_processing_time(1'000);
    EXPECT_EQ(tracker.current(), 100);
}

TEST(WatermarkTracker, ASilentStreamMovesOnWithTheClock) {
    WatermarkTracker tracker({.max_out_of_orderness = 5, .flush_timeout = 30});
    tracker.on_processing_time(1'000);
    EXPECT_EQ(tracker.current(), kMinTimestamp);
    (void)after(tracker, {100}, 0, 1'000);
    tracker.on_processing_time(1'029);
    EXPECT_EQ(tracker.current(), 95);
    tracker.on_processing_time(1'030);
    EXPECT_EQ(tracker.current(), 125);
    tracker.on_processing_time(1'050);
    EXPECT_EQ(tracker.current(), 145);
}

TEST(WatermarkTracker, GivenWatermarksNeverGoBack) {
    WatermarkTracker tracker({});
    std::vector<Timestamp> watermarks;
    tracker.on_records(std::vector<Timestamp>{1, 2, 3}, 0, 0, watermarks,
                       std::vector<Timestamp>{kMinTimestamp, 7, 3});
    EXPECT_EQ(watermarks, (std::vector<Timestamp>{kMinTimestamp, 7, 7}));
    tracker.on_records(std::vector<Timestamp>{1, 2}, 1, 0, watermarks, std::vector<Timestamp>{4, 9});
    EXPECT_EQ(watermarks, (std::vector<Timestamp>{7, 7}));
}

TEST(WatermarkTracker, PartitionsThatAreSetHoldItBackBeforeTheirFirstRecord) {
    WatermarkTracker tracker({.max_out_of_orderness = 0});
    tracker.set_partitions(std::vector<std::uint32_t>{0, 1}, 0);
    EXPECT_EQ(after(tracker, {10, 20}, 0), (std::vector<Timestamp>{kMinTimestamp, kMinTimestamp}));
    EXPECT_EQ(after(tracker, {5}, 1), (std::vector<Timestamp>{5}));
}

TEST(WatermarkTracker, PartitionsThatAreTakenAwayNoLongerHoldItBackAndThoseThatStayGoOn) {
    WatermarkTracker tracker({.max_out_of_orderness = 0});
    tracker.set_partitions(std::vector<std::uint32_t>{0, 1}, 0);
    after(tracker, {30}, 0);
    tracker.set_partitions(std::vector<std::uint32_t>{0, 2}, 0);
    EXPECT_EQ(after(tracker, {7}, 2), (std::vector<Timestamp>{7}));
    tracker.set_partitions(std::vector<std::uint32_t>{0}, 0);
    EXPECT_EQ(after(tracker, {10}, 0), (std::vector<Timestamp>{30}));
}

TEST(WatermarkTracker, APartitionThatIsSetIsIdleAfterTheTimeoutUnlessItIsKeptActive) {
    const std::vector<std::uint32_t> both = {0, 1};
    for (const bool kept : {false, true}) {
        WatermarkTracker tracker({.max_out_of_orderness = 0, .idle_timeout = 100});
        tracker.set_partitions(both, 1'000);
        if (kept) {
            tracker.keep_active(std::vector<std::uint32_t>{1, 7}, 1'001);
        }
        EXPECT_EQ(after(tracker, {10}, 0, 1'099), (std::vector<Timestamp>{kMinTimestamp}));
        EXPECT_EQ(after(tracker, {10}, 0, 1'100),
                  (std::vector<Timestamp>{kept ? kMinTimestamp : Timestamp{10}}));
        EXPECT_EQ(after(tracker, {10}, 0, 1'101), (std::vector<Timestamp>{10}));
    }
}

TEST(WatermarkTracker, DecodeRestoresWhatEncodeWrote) {
    WatermarkTracker tracker({.max_out_of_orderness = 0});
    after(tracker, {10}, 0);
    after(tracker, {30}, 4);
    ByteWriter out;
    tracker.encode(out);
    WatermarkTracker restored({.max_out_of_orderness = 0});
    ByteReader in(out.bytes());
    restored.decode(in);
    EXPECT_EQ(in.remaining(), 0U);
    EXPECT_EQ(after(restored, {40}, 0), (std::vector<Timestamp>{30}));
}

}  // namespace
}  // namespace llmopt_stream
