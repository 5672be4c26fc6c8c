#include <gtest/gtest.h>

#include <functional>
#include <utility>

#include "record/error.hpp"
#include "window/operator_driver.hpp"

namespace llmopt_stream {
namespace {

using testing::OperatorDriver;
using Panes = std::vector<std::string>;

Trigger count_of(std::uint64_t count) { return {.kind = TriggerKind::kCount, .count = count}; }
Trigger delay_of(Duration delay) { return {.kind = TriggerKind::kProcessingTime, .delay = delay}; }
Trigger after_watermark(std::vector<Trigger> early, std::vector<Trigger> late) {
    return {.kind = TriggerKind::kAfterWatermark, .early = std::move(early), .late = std::move(late)};
}

WindowPlan tumbling(Trigger trigger, Duration allowed_lateness = 0) {
    WindowPlan plan;
    plan.size = plan.slide = 10;
    plan.allowed_lateness = allowed_lateness;
    plan.trigger = std::move(trigger);
    return plan;
}

WindowPlan of_kind(WindowKind kind) {
    WindowPlan plan;
    plan.kind = kind;
    return plan;
}

class AskedTrigger final : public UserTrigger {
public:
    explicit AskedTrigger(std::function<bool(Timestamp, std::uint64_t)> fires, Duration kept = 0)
        : fires_(std::move(fires)), kept_(kept) {}
    bool should_fire(const Interval&, Timestamp watermark, std::uint64_t waiting) override {
        return fires_(watermark, waiting);
    }
    bool should_purge(const Interval& window, Timestamp watermark) override {
        return watermark >= window.end + kept_;
    }

private:
    std::function<bool(Timestamp, std::uint64_t)> fires_;
    Duration kept_;
};

TEST(KeyedWindows, CountTriggerFiresAtEveryNthRecordAndLosesTheRest) {
    OperatorDriver driver(tumbling(count_of(2)));
    driver.push({{"a", 1, 1}, {"a", 2, 2}, {"b", 3, 4}, {"a", 4, 8}});
    EXPECT_EQ(driver.panes(), (Panes{"a [0,10) count=2 sum=3 early#0"}));
    driver.watermark(10);
    EXPECT_EQ(driver.panes(), Panes{});
    EXPECT_EQ(driver.output().unfired, 2U);
    EXPECT_EQ(driver.window_operator().state_bytes(), 0U);
}

TEST(KeyedWindows, EarlyPanesThenOnTimeThenLateOnes) {
    OperatorDriver driver(tumbling(after_watermark({count_of(2)}, {count_of(2)}), 5));
    driver.push({{"a", 1, 1}, {"a", 2, 2}, {"a", 3, 4}});
    driver.watermark(10);
    driver.push({{"a", 4, 8}, {"a", 5, 16}});
    driver.watermark(15);
    EXPECT_EQ(driver.panes(), (Panes{"a [0,10) count=2 sum=3 early#0", "a [0,10) count=3 sum=7 on_time#1",
                                     "a [0,10) count=5 sum=31 late#2"}));
}

TEST(KeyedWindows, CompletionRepeatsAnEarlyPaneOnlyWhereItHoldsEverything) {
    WindowPlan plan = tumbling(after_watermark({count_of(1)}, {}));
    OperatorDriver accumulating(plan);
    accumulating.push({{"a", 1, 1}});
    accumulating.watermark(10);
    EXPECT_EQ(accumulating.panes(),
              (Panes{"a [0,10) count=1 sum=1 early#0", "a [0,10) count=1 sum=1 on_time#1 last"}));
    plan.accumulation = Accumulation::kDiscarding;
    OperatorDriver discarding(plan);
    discarding.push({{"a", 1, 1}});
    discarding.watermark(10);
    EXPECT_EQ(discarding.panes(), (Panes{"a [0,10) count=1 sum=1 early#0"}));
}

TEST(KeyedWindows, ProcessingTimeTriggerFiresADelayAfterTheFirstWaitingRecord) {
    OperatorDriver driver(tumbling(delay_of(5)));
    driver.processing_time(100);
    driver.push({{"a", 1, 1}});
    driver.processing_time(103);
    driver.push({{"a", 2, 2}, {"b", 3, 4}});
    driver.processing_time(104);
    EXPECT_EQ(driver.panes(), Panes{});
    driver.processing_time(105);
    EXPECT_EQ(driver.panes(), (Panes{"a [0,10) count=2 sum=3 early#0"}));
    driver.processing_time(108);
    EXPECT_EQ(driver.panes(), (Panes{"b [0,10) count=1 sum=4 early#0"}));
    driver.processing_time(1'000);
    EXPECT_EQ(driver.panes(), Panes{});
}

TEST(KeyedWindows, AllOfWaitsForEachPartAndAFiringStartsAllAnew) {
    OperatorDriver driver(
        tumbling({.kind = TriggerKind::kAllOf, .parts = {count_of(2), delay_of(5), delay_of(8)}}));
    driver.push({{"a", 1, 1}});
    driver.processing_time(9);
    EXPECT_EQ(driver.panes(), Panes{});
    driver.push({{"a", 2, 2}});
    EXPECT_EQ(driver.panes(), (Panes{"a [0,10) count=2 sum=3 early#0"}));
    driver.push({{"a", 2, 4}, {"a", 2, 8}});
    driver.processing_time(16);
    EXPECT_EQ(driver.panes(), Panes{});
    driver.processing_time(17);
    EXPECT_EQ(driver.panes(), (Panes{"a [0,10) count=4 sum=15 early#1"}));
}

TEST(KeyedWindows, MergedSessionsAddWhatWaitsAndKeepTheEarliestTimeOnTheClock) {
    WindowPlan plan = of_kind(WindowKind::kSession);
    plan.gap = 5;
    plan.trigger = {.kind = TriggerKind::kAnyOf, .parts = {count_of(3), delay_of(10)}};
    OperatorDriver counted(plan);
    counted.push({{"a", 1, 1}, {"a", 11, 2}, {"a", 6, 4}});
    EXPECT_EQ(counted.panes(), (Panes{"a [1,16) count=3 sum=7 early#0"}));
    plan.trigger = delay_of(10);
    OperatorDriver timed(plan);
    timed.push({{"a", 1, 1}});
    timed.processing_time(4);
    timed.push({{"a", 11, 2}});
    timed.processing_time(6);
    timed.push({{"a", 6, 4}});
    timed.processing_time(10);
    EXPECT_EQ(timed.panes(), (Panes{"a [1,16) count=3 sum=7 early#0"}));
    timed.processing_time(14);
    EXPECT_EQ(timed.panes(), Panes{});
}

TEST(KeyedWindows, GivenWindowsTakeWhatTheBatchSays) {
    OperatorDriver driver(of_kind(WindowKind::kGiven));
    driver.push_given({{"a", 1, 1}, {"a", 2, 2}, {"a", 3, 4}}, {{0, 5}, {0, 9}, {2, 5}}, {2, 3, 3});
    EXPECT_EQ(driver.output().outside_windows, 1U);
    driver.watermark(5);
    EXPECT_EQ(driver.panes(),
              (Panes{"a [0,5) count=1 sum=1 on_time#0 last", "a [2,5) count=1 sum=2 on_time#0 last"}));
    driver.watermark(9);
    EXPECT_EQ(driver.panes(), (Panes{"a [0,9) count=1 sum=1 on_time#0 last"}));
}

TEST(KeyedWindows, TheGlobalWindowIsCompleteAtTheEndOfTheInput) {
    OperatorDriver driver(of_kind(WindowKind::kGlobal));
    driver.push({{"b", -5, 1}, {"a", 1'000, 2}, {"b", 7, 4}});
    driver.watermark(1'000'000);
    EXPECT_EQ(driver.panes(), Panes{});
    driver.watermark(kMaxTimestamp);
    const std::string all = " [" + std::to_string(kMinTimestamp) + "," + std::to_string(kMaxTimestamp) + ") ";
    EXPECT_EQ(driver.panes(), (Panes{"a" + all + "count=1 sum=2 on_time#0 last",
                                     "b" + all + "count=2 sum=5 on_time#0 last"}));
}

TEST(KeyedWindows, UserTriggerIsAskedAtRecordsAndAtWatermarksWhileRecordsWait) {
    std::vector<std::pair<Timestamp, std::uint64_t>> asked;
    Trigger trigger{.kind = TriggerKind::kUser};
    trigger.user = std::make_shared<AskedTrigger>(
        [&](Timestamp watermark, std::uint64_t waiting) {
            asked.emplace_back(watermark, waiting);
            return waiting == 2 || watermark == 12;
        },
        5);
    OperatorDriver driver(tumbling(trigger));
    driver.push_under({{"a", 1, 1}, {"a", 3, 2}, {"a", 3, 4}}, {2, 4, 4});
    driver.watermark(12);
    driver.watermark(14);
    EXPECT_EQ(driver.window_operator().live_slices(), 1U);
    driver.watermark(15);
    EXPECT_EQ(driver.window_operator().live_slices(), 0U);
    EXPECT_EQ(asked, (std::vector<std::pair<Timestamp, std::uint64_t>>{
                         {kMinTimestamp, 1}, {2, 1}, {2, 2}, {4, 1}, {12, 1}}));
    EXPECT_EQ(driver.panes(), (Panes{"a [0,10) count=2 sum=3 early#0", "a [0,10) count=3 sum=7 on_time#1"}));
}

TEST(KeyedWindows, WindowsByTheClockCompleteWithIt) {
    for (const bool triggered : {false, true}) {
        WindowPlan plan = tumbling(triggered ? after_watermark({count_of(5)}, {}) : Trigger{});
        plan.by_clock = true;
        OperatorDriver driver(plan);
        driver.push({{"a", 3, 1}});
        driver.processing_time(9);
        EXPECT_EQ(driver.panes(), Panes{});
        driver.processing_time(10);
        EXPECT_EQ(driver.panes(), (Panes{"a [0,10) count=1 sum=1 on_time#0 last"}));
    }
}

TEST(KeyedWindows, AnExplanationIsWhatThenHappens) {
    WindowPlan plan = of_kind(WindowKind::kSession);
    plan.gap = 5;
    OperatorDriver driver(plan);
    driver.push({{"a", 1, 1}, {"a", 11, 2}});
    const auto verdicts = driver.explain({"a", 6, 4});
    ASSERT_EQ(verdicts.size(), 1U);
    EXPECT_EQ(verdicts[0].window, (Interval{1, 16}));
    EXPECT_EQ(verdicts[0].fate, WindowFate::kTaken);
    driver.watermark(40);
    EXPECT_EQ(driver.explain({"a", 6, 4})[0].fate, WindowFate::kExpired);
}

TEST(KeyedWindows, DecodedStateGoesOnAsTheOriginalWould) {
    for (const WindowKind kind : {WindowKind::kSliding, WindowKind::kSession, WindowKind::kGlobal}) {
        WindowPlan plan = of_kind(kind);
        plan.size = 10;
        plan.slide = 4;
        plan.gap = 5;
        plan.allowed_lateness = 3;
        plan.trigger = {.kind = TriggerKind::kAnyOf, .parts = {count_of(3), delay_of(6), {}}};
        OperatorDriver original(plan);
        original.processing_time(2);
        original.push({{"a", 1, 1}, {"b", 4, 2}, {"a", 9, 4}});
        original.watermark(9);
        OperatorDriver restored(plan);
        restored.decode(original.encode());
        EXPECT_EQ(restored.encode(), original.encode());
        (void)original.panes();
        for (OperatorDriver* driver : {&original, &restored}) {
            driver->push({{"a", 8, 8}, {"a", 7, 16}, {"c", 12, 32}});
            driver->processing_time(9);
            driver->watermark(14);
            driver->watermark(kMaxTimestamp);
        }
        EXPECT_EQ(restored.panes(), original.panes());
        EXPECT_EQ(restored.output().unfired, original.output().unfired);
    }
}

TEST(KeyedWindows, CorruptStateIsRefused) {
    WindowPlan plan = tumbling(count_of(3));
    OperatorDriver driver(plan);
    driver.push({{"a", 1, 1}, {"a", 11, 1}});
    const std::string bytes = driver.encode();
    for (std::size_t size = 0; size < bytes.size(); ++size) {
        OperatorDriver other(plan);
        EXPECT_THROW(other.decode(bytes.substr(0, size)), Error) << size;
    }
}

}  // namespace
}  // namespace llmopt_stream
