#include <gtest/gtest.h>

#include "record/error.hpp"
#include "window/operator_driver.hpp"

namespace llmopt_stream {
namespace {

using testing::OperatorDriver;
using testing::Record;
using Panes = std::vector<std::string>;

WindowPlan counting(Duration size, Duration slide, bool flush = false) {
    WindowPlan plan;
    plan.kind = WindowKind::kCount;
    plan.size = size;
    plan.slide = slide;
    plan.flush = flush;
    return plan;
}

std::vector<Record> ones(std::size_t count) { return std::vector<Record>(count, {"a", 5, 1}); }

/// "count#index" of each pane.
Panes counts_of(OperatorDriver& driver) {
    Panes texts;
    const PaneTable& panes = driver.output().panes;
    for (std::size_t pane = 0; pane < panes.size(); ++pane) {
        texts.push_back(std::to_string(panes.results[0].int64[pane]) + "#" +
                        std::to_string(panes.index[pane]));
    }
    (void)driver.panes();
    return texts;
}

TEST(CountWindows, FireWhenFullWhateverTheWatermarkIs) {
    OperatorDriver driver(counting(2, 2));
    driver.watermark(1'000);
    driver.push({{"a", 1, 1}, {"b", 1, 2}, {"a", -7, 4}, {"a", 1, 8}});
    const PaneTable& panes = driver.output().panes;
    ASSERT_EQ(panes.size(), 1U);
    EXPECT_EQ(panes.results[1].float64[0], 5);
    EXPECT_EQ(panes.fired_at[0], 3U);
    EXPECT_EQ(panes.is_last[0], 1);
    EXPECT_EQ(driver.output().late_records, 0U);
}

TEST(CountWindows, OverlappingOnesHoldTheLastRecordsFewerAtFirst) {
    OperatorDriver driver(counting(5, 2));
    driver.push(ones(8));
    EXPECT_EQ(counts_of(driver), (Panes{"2#0", "4#1", "5#2", "5#3"}));
    EXPECT_EQ(driver.output().aggregated, 8U);
}

TEST(CountWindows, RecordsBetweenWindowsAreOutside) {
    OperatorDriver driver(counting(2, 5));
    driver.push(ones(12));
    EXPECT_EQ(counts_of(driver), (Panes{"2#0", "2#1"}));
    EXPECT_EQ(driver.output().outside_windows, 8U);
}

TEST(CountWindows, TheRestIsUnfiredOrFlushedAtTheEndOfTheInput) {
    for (const bool flush : {false, true}) {
        OperatorDriver driver(counting(4, 3, flush));
        driver.push(ones(5));
        (void)driver.panes();
        driver.watermark(kMaxTimestamp);
        EXPECT_EQ(counts_of(driver), flush ? Panes{"3#1"} : Panes{});
        EXPECT_EQ(driver.output().unfired, flush ? 0U : 2U);
        EXPECT_EQ(driver.window_operator().live_keys(), 0U);
        EXPECT_EQ(driver.window_operator().state_bytes(), 0U);
    }
}

TEST(CountWindows, DecodedStateGoesOnAsTheOriginalWould) {
    for (const auto& [size, slide] : std::vector<std::pair<Duration, Duration>>{{3, 3}, {7, 2}, {2, 5}}) {
        for (std::size_t before = 0; before < 16; ++before) {
            OperatorDriver original(counting(size, slide, true));
            original.push(ones(before));
            OperatorDriver restored(counting(size, slide, true));
            restored.decode(original.encode());
            (void)original.panes();
            for (OperatorDriver* driver : {&original, &restored}) {
                driver->push(ones(9));
                driver->watermark(kMaxTimestamp);
            }
            EXPECT_EQ(restored.panes(), original.panes());
        }
    }
}

TEST(CountWindows, CorruptStateIsRefused) {
    OperatorDriver driver(counting(7, 2));
    driver.push(ones(9));
    const std::string bytes = driver.encode();
    for (std::size_t size = 0; size < bytes.size(); ++size) {
        OperatorDriver other(counting(7, 2));
        EXPECT_THROW(other.decode(bytes.substr(0, size)), Error) << size;
    }
    OperatorDriver tumbling(counting(3, 3));
    EXPECT_THROW(tumbling.decode(bytes), Error);
}

TEST(CountWindows, ATriggerIsRefused) {
    WindowPlan plan = counting(2, 2);
    plan.trigger.kind = TriggerKind::kCount;
    plan.trigger.count = 1;
    EXPECT_THROW(OperatorDriver{plan}, Error);
}

}  // namespace
}  // namespace llmopt_stream
