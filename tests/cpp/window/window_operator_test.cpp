#include "window/window_operator.hpp"

#include <gtest/gtest.h>

#include "record/error.hpp"
#include "window/operator_driver.hpp"

namespace llmopt_stream {
namespace {

using testing::OperatorDriver;
using Panes = std::vector<std::string>;

WindowPlan tumbling(Duration size, Duration allowed_lateness = 0) {
    WindowPlan plan;
    plan.size = size;
    plan.slide = size;
    plan.allowed_lateness = allowed_lateness;
    plan.collect_late = true;
    return plan;
}

WindowPlan sliding(Duration size, Duration slide, Duration allowed_lateness = 0) {
    WindowPlan plan = tumbling(size, allowed_lateness);
    plan.slide = slide;
    return plan;
}

TEST(WindowOperator, WindowFiresWhenTheWatermarkReachesItsEndNotBefore) {
    OperatorDriver driver(tumbling(10));
    driver.push({{"a", 1, 10}, {"a", 9, 20}});
    driver.watermark(9);
    EXPECT_EQ(driver.panes(), Panes{});
    driver.watermark(10);
    EXPECT_EQ(driver.panes(), (Panes{"a [0,10) count=2 sum=30 on_time#0 last"}));
    driver.watermark(11);
    EXPECT_EQ(driver.panes(), Panes{});
}

TEST(WindowOperator, RecordIsJudgedUnderTheWatermarkOfTheRecordsBeforeIt) {
    OperatorDriver driver(tumbling(10));
    // The second record completes [0, 10); the third comes too late for it.
    driver.push_under({{"a", 1, 1}, {"a", 30, 2}, {"a", 2, 4}}, {1, 30, 30});
    EXPECT_EQ(driver.panes(), (Panes{"a [0,10) count=1 sum=1 on_time#0 last"}));
    EXPECT_EQ(driver.output().late_records, 1U);
    ASSERT_EQ(driver.output().late.size(), 1U);
    EXPECT_EQ(driver.output().late[0].position, 2U);
    EXPECT_EQ(driver.output().late[0].watermark, 30);
    EXPECT_EQ(driver.output().late[0].windows, (std::vector<Interval>{{0, 10}}));
}

TEST(WindowOperator, RecordOfACompletedWindowStillCountsWhereItAdvancesTheWatermarkItself) {
    OperatorDriver driver(tumbling(10));
    driver.push_under({{"a", 5, 1}}, {100});
    EXPECT_EQ(driver.panes(), (Panes{"a [0,10) count=1 sum=1 on_time#0 last"}));
    EXPECT_EQ(driver.output().late_records, 0U);
}

TEST(WindowOperator, OutputIsOrderedByWindowEndThenKey) {
    OperatorDriver driver(tumbling(10));
    driver.push({{"b", 15, 1}, {"c", 5, 2}, {"a", 15, 3}, {"a", 5, 4}});
    driver.watermark(100);
    EXPECT_EQ(driver.panes(),
              (Panes{"a [0,10) count=1 sum=4 on_time#0 last", "c [0,10) count=1 sum=2 on_time#0 last",
                     "a [10,20) count=1 sum=3 on_time#0 last", "b [10,20) count=1 sum=1 on_time#0 last"}));
}

TEST(WindowOperator, LateRecordWithinTheLatenessFiresItsWindowAgainAtOnce) {
    OperatorDriver driver(tumbling(10, 5));
    driver.push({{"a", 1, 1}});
    driver.watermark(14);
    driver.push({{"a", 2, 2}, {"b", 3, 4}, {"a", 4, 8}});
    EXPECT_EQ(driver.panes(), (Panes{"a [0,10) count=1 sum=1 on_time#0", "a [0,10) count=2 sum=3 late#1",
                                     "b [0,10) count=1 sum=4 late#0", "a [0,10) count=3 sum=11 late#2"}));
    driver.watermark(15);
    driver.push({{"a", 5, 16}});
    EXPECT_EQ(driver.panes(), Panes{});
    EXPECT_EQ(driver.output().late_records, 1U);
    EXPECT_EQ(driver.output().aggregated, 4U);
}

TEST(WindowOperator, DiscardingPanesHoldOnlyWhatIsNew) {
    WindowPlan plan = tumbling(10, 5);
    plan.accumulation = Accumulation::kDiscarding;
    OperatorDriver driver(plan);
    driver.push({{"a", 1, 1}, {"a", 2, 1}});
    driver.watermark(10);
    driver.push({{"a", 2, 2}, {"a", 3, 4}});
    EXPECT_EQ(driver.panes(), (Panes{"a [0,10) count=2 sum=2 on_time#0", "a [0,10) count=1 sum=2 late#1",
                                     "a [0,10) count=1 sum=4 late#2"}));
}

TEST(WindowOperator, WatermarkThatJumpsPastEndAndExpiryGivesThePaneFirst) {
    OperatorDriver driver(tumbling(10, 5));
    driver.push({{"a", 1, 1}});
    driver.watermark(1'000'000);
    EXPECT_EQ(driver.panes(), (Panes{"a [0,10) count=1 sum=1 on_time#0 last"}));
}

TEST(WindowOperator, SlidingWindowsMergeTheSlicesTheyShare) {
    OperatorDriver driver(sliding(10, 5));
    driver.push({{"a", 1, 1}, {"a", 6, 2}, {"a", 11, 4}});
    driver.watermark(kMaxTimestamp);
    EXPECT_EQ(driver.panes(),
              (Panes{"a [-5,5) count=1 sum=1 on_time#0 last", "a [0,10) count=2 sum=3 on_time#0 last",
                     "a [5,15) count=2 sum=6 on_time#0 last", "a [10,20) count=1 sum=4 on_time#0 last"}));
}

TEST(WindowOperator, RecordMayBeLateForSomeOfItsSlidingWindowsOnly) {
    OperatorDriver driver(sliding(10, 5));
    driver.watermark(7);
    driver.push({{"a", 1, 1}});  // [-5, 5) has expired, [0, 10) is open
    driver.watermark(10);
    EXPECT_EQ(driver.panes(), (Panes{"a [0,10) count=1 sum=1 on_time#0 last"}));
    EXPECT_EQ(driver.output().late_records, 0U);
    EXPECT_EQ(driver.output().aggregated, 1U);
}

TEST(WindowOperator, LateRecordFiresEachCompletedSlidingWindowThatHasNotExpired) {
    OperatorDriver driver(sliding(10, 5, 5));
    driver.push({{"a", 1, 1}});
    driver.watermark(12);  // [-5, 5) has expired, [0, 10) has fired, [5, 15) is open
    driver.push({{"a", 6, 2}});
    EXPECT_EQ(driver.panes(), (Panes{"a [-5,5) count=1 sum=1 on_time#0 last",
                                     "a [0,10) count=1 sum=1 on_time#0", "a [0,10) count=2 sum=3 late#1"}));
    driver.watermark(15);
    EXPECT_EQ(driver.panes(), (Panes{"a [5,15) count=1 sum=2 on_time#0"}));
}

TEST(WindowOperator, RecordInAGapBetweenWindowsIsOutsideUntilItIsLate) {
    OperatorDriver driver(sliding(3, 10, 2));
    driver.push({{"a", 5, 1}});
    EXPECT_EQ(driver.output().outside_windows, 1U);
    driver.watermark(7);
    driver.push({{"a", 5, 1}});  // 5 + 2 is not before 7
    EXPECT_EQ(driver.output().outside_windows, 2U);
    driver.watermark(8);
    driver.push({{"a", 5, 1}});
    EXPECT_EQ(driver.output().outside_windows, 2U);
    EXPECT_EQ(driver.output().late_records, 1U);
    EXPECT_TRUE(driver.output().late.at(0).windows.empty());
}

TEST(WindowOperator, NothingIsLeftOnceEverythingExpired) {
    for (const WindowPlan& plan : {tumbling(10), tumbling(10, 7), sliding(10, 3, 4)}) {
        OperatorDriver driver(plan);
        for (int key = 0; key < 2'000; ++key) {
            driver.push_under({{"key-" + std::to_string(key), key, 1}}, {key - 5});
            ASSERT_LT(driver.window_operator().live_keys(), 60U);
        }
        driver.watermark(10'000);
        EXPECT_EQ(driver.window_operator().live_keys(), 0U);
        EXPECT_EQ(driver.window_operator().live_slices(), 0U);
        EXPECT_EQ(driver.window_operator().state_bytes(), 0U);
    }
}

TEST(WindowOperator, TimesAtTheEndsOfTheRangeAreHeld) {
    OperatorDriver driver(tumbling(10, 5));
    driver.push({{"a", kMinTimestamp, 1}, {"b", kMaxTimestamp, 2}});
    driver.watermark(kMaxTimestamp);
    EXPECT_EQ(driver.panes().size(), 2U);
    EXPECT_EQ(driver.window_operator().live_slices(), 0U);
}

std::string busy_state(OperatorDriver& driver) {
    driver.push({{"a", 1, 1}, {"b", 2, 2}, {"a", 12, 4}, {"c", 25, 8}});
    driver.watermark(13);
    driver.push({{"a", 3, 16}});
    return driver.encode();
}

TEST(WindowOperator, DecodedStateGoesOnAsTheOriginalWould) {
    OperatorDriver original(sliding(10, 4, 5));
    const std::string bytes = busy_state(original);
    (void)original.panes();
    OperatorDriver restored(original.plan());
    restored.decode(bytes);
    EXPECT_EQ(restored.encode(), bytes);
    for (OperatorDriver* driver : {&original, &restored}) {
        driver->push({{"a", 4, 32}, {"d", 30, 1}});
        driver->watermark(100);
    }
    const Panes expected = original.panes();
    EXPECT_FALSE(expected.empty());
    EXPECT_EQ(restored.panes(), expected);
}

TEST(WindowOperator, CorruptStateIsRefusedOrReadButNeverCrashes) {
    OperatorDriver original(sliding(10, 4, 5));
    const std::string bytes = busy_state(original);
    for (std::size_t size = 0; size < bytes.size(); ++size) {
        OperatorDriver restored(original.plan());
        EXPECT_THROW(restored.decode(bytes.substr(0, size)), Error);
    }
    for (std::size_t bit = 0; bit < 8 * bytes.size(); ++bit) {
        std::string altered = bytes;
        altered[bit / 8] = static_cast<char>(altered[bit / 8] ^ (1 << (bit % 8)));
        OperatorDriver restored(original.plan());
        try {
            restored.decode(altered);
            restored.watermark(kMaxTimestamp);
        } catch (const Error&) {
            continue;
        }
    }
}

}  // namespace
}  // namespace llmopt_stream
