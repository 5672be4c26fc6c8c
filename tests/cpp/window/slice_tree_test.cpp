#include "window/slice_tree.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "aggregate/value_statistics.hpp"
#include "record/key_dictionary.hpp"
#include "window/aligned_window_assigner.hpp"
#include "window/window_operator.hpp"

namespace llmopt_stream {
namespace {

struct Event {
    std::string key;
    Timestamp time;
    double value;
    Timestamp watermark;  // after it
};
using Events = std::vector<Event>;

std::shared_ptr<const Metric> make_metric(std::size_t column, FieldType type) {
    return std::make_shared<const ValueStatistics>(
        column, type,
        std::vector<Aggregation>{{AggregationKind::kCount, 0, "count"},
                                 {AggregationKind::kMin, 0, "min"},
                                 {AggregationKind::kMax, 0, "max"},
                                 {AggregationKind::kPercentile, 50, "p50"},
                                 {AggregationKind::kPercentile, 99, "p99"},
                                 {AggregationKind::kSum, 0, "sum"},
                                 {AggregationKind::kAverage, 0, "average"},
                                 {AggregationKind::kStddev, 0, "stddev"}});
}
constexpr std::size_t kExactStatistics = 5;  // the first of them, of floats
constexpr std::size_t kStatistics = 8;

MetricRow make_row() {
    return MetricRow({make_metric(0, FieldType::kFloat64), make_metric(1, FieldType::kInt64)});
}

std::int64_t integer_of(double value) { return static_cast<std::int64_t>(value * 1e6); }

/// An operator, its output, and how far it has come in the stream.
class Execution {
public:
    explicit Execution(const WindowPlan& plan)
        : plan_(plan), operator_(std::make_unique<WindowOperator>(plan, make_row())) {
        out_.panes.results = operator_->make_result_columns();
        out_.skipped_values.resize(2);
    }

    void push(const Event* first, std::size_t size) {
        KeyDictionary keys;
        std::vector<Timestamp> times;
        std::vector<Timestamp> watermarks;
        std::vector<std::uint32_t> key_indices;
        std::vector<double> values;
        std::vector<std::int64_t> integers;
        for (const Event* event = first; event != first + size; ++event) {
            times.push_back(event->time);
            watermarks.push_back(event->watermark);
            key_indices.push_back(keys.intern(event->key));
            values.push_back(event->value);
            integers.push_back(integer_of(event->value));
        }
        RecordBatch batch;
        batch.size = batch.input_records = size;
        batch.event_time = times;
        batch.key = key_indices;
        batch.keys = &keys;
        batch.values = {ValueColumn{FieldType::kFloat64, values, {}, {}},
                        ValueColumn{FieldType::kInt64, {}, integers, {}}};
        operator_->on_batch(batch, {watermarks, position_, {}, {}}, out_);
        position_ += size;
    }
    /// A record of the stream that this operator does not see.
    void skip(const Event& event) { operator_->on_watermark(event.watermark, ++position_, out_); }
    void end_of_input() { operator_->on_watermark(kMaxTimestamp, position_, out_); }

    /// Goes on in a new operator that has nothing but the encoded state.
    void restart() {
        ByteWriter out;
        operator_->encode(out);
        const std::string bytes = out.take();
        operator_ = std::make_unique<WindowOperator>(plan_, make_row());
        ByteReader in(bytes);
        operator_->decode(in, [](std::uint64_t) { return true; }, true);
    }

    [[nodiscard]] const PaneTable& panes() const noexcept { return out_.panes; }
    [[nodiscard]] std::string bytes() const {
        ByteWriter out;
        out_.panes.encode(out);
        return out.take();
    }
    [[nodiscard]] const WindowOperator& window_operator() const noexcept { return *operator_; }

private:
    WindowPlan plan_;
    std::unique_ptr<WindowOperator> operator_;
    WindowOutput out_;
    std::uint64_t position_ = 0;
};

Execution run_whole(const WindowPlan& plan, const Events& events) {
    Execution run(plan);
    run.push(events.data(), events.size());
    run.end_of_input();
    return run;
}

/// What a pane holds, from the values themselves.
struct ExpectedPane {
    Interval window;
    std::string key;
    PaneTiming timing;
    std::vector<double> values;
};

/// The definition: each window keeps its values and is not made of anything shared.
std::vector<ExpectedPane> panes_by_definition(const WindowPlan& plan, const Events& events) {
    const AlignedWindowAssigner assigner(plan.size, plan.slide, plan.offset,
                                         plan.kind == WindowKind::kCumulative
                                             ? AlignedWindowAssigner::Shape::kCumulative
                                             : AlignedWindowAssigner::Shape::kSliding);
    std::map<std::pair<Timestamp, std::string>, std::vector<double>> windows;
    std::vector<ExpectedPane> panes;
    Timestamp watermark = kMinTimestamp;
    const auto advance = [&](Timestamp to) {
        for (const auto& [at, values] : windows) {
            if (at.first > watermark && at.first <= to) {
                panes.push_back(
                    {assigner.window_ending_at(at.first), at.second, PaneTiming::kOnTime, values});
            }
        }
        watermark = std::max(watermark, to);
        std::erase_if(windows, [&](const auto& window) {
            return watermark >= add_saturating(window.first.first, plan.allowed_lateness);
        });
    };
    for (const Event& event : events) {
        for (const Interval& window : assigner.windows_of(event.time)) {
            if (watermark >= add_saturating(window.end, plan.allowed_lateness)) {
                continue;
            }
            std::vector<double>& values = windows[{window.end, event.key}];
            values.push_back(event.value);
            if (window.end <= watermark) {
                panes.push_back({window, event.key, PaneTiming::kLate,
                                 plan.accumulation == Accumulation::kDiscarding
                                     ? std::vector<double>{event.value}
                                     : values});
            }
        }
        advance(event.watermark);
    }
    advance(kMaxTimestamp);
    return panes;
}

void expect_panes(const PaneTable& panes, const std::vector<ExpectedPane>& expected) {
    ASSERT_EQ(panes.size(), expected.size());
    const MetricRow row = make_row();
    SizeClassPool pool;
    std::vector<std::byte> state(row.bytes());
    std::vector<ResultColumn> results = row.make_result_columns();
    for (const ExpectedPane& pane : expected) {
        std::vector<std::int64_t> integers;
        std::transform(pane.values.begin(), pane.values.end(), std::back_inserter(integers), integer_of);
        const std::vector<std::byte*> rows(pane.values.size(), state.data());
        std::vector<std::uint64_t> skipped(2);
        row.create(state.data());
        RecordBatch batch;
        batch.values = {ValueColumn{FieldType::kFloat64, pane.values, {}, {}},
                        ValueColumn{FieldType::kInt64, {}, integers, {}}};
        row.add(rows, batch, 0, pool, skipped);
        row.append_results(state.data(), pane.window, results);
        row.destroy(state.data(), pool);
    }
    for (std::size_t pane = 0; pane < panes.size(); ++pane) {
        const Interval window{panes.start[pane], panes.end[pane]};
        ASSERT_EQ(window, expected[pane].window) << pane;
        ASSERT_EQ(panes.key(pane), expected[pane].key) << pane;
        ASSERT_EQ(panes.timing[pane], expected[pane].timing) << pane;
        double magnitude = 0;
        for (const double value : expected[pane].values) {
            magnitude += std::abs(value);
        }
        for (std::size_t column = 0; column < results.size(); ++column) {
            const ResultColumn& ours = panes.results[column];
            if (ours.type == ResultType::kInt64) {
                ASSERT_EQ(ours.int64[pane], results[column].int64[pane]) << column << " of pane " << pane;
            } else if (column < kExactStatistics || column == kStatistics + 3 || column == kStatistics + 4) {
                ASSERT_EQ(ours.float64[pane], results[column].float64[pane]) << column << " of pane " << pane;
            } else {
                const double scale =
                    column < kStatistics ? magnitude : std::abs(results[column].float64[pane]);
                ASSERT_NEAR(ours.float64[pane], results[column].float64[pane], 1e-12 * scale)
                    << column << " of pane " << pane;
            }
        }
    }
}

WindowPlan windows(Duration size, Duration slide, Duration offset, Duration lateness,
                   WindowKind kind = WindowKind::kSliding) {
    WindowPlan plan;
    plan.kind = kind;
    plan.size = size;
    plan.slide = slide;
    plan.offset = offset;
    plan.allowed_lateness = lateness;
    return plan;
}

static_assert(SliceTree::kFewestSlices == 8);

std::vector<WindowPlan> plans() {
    std::vector<WindowPlan> plans{
        windows(64, 1, 0, 0),
        windows(32, 4, 0, 0),  // the fewest slices of a tree
        windows(28, 4, 0, 30),
        windows(64, 4, -3, 0),
        windows(100, 3, 0, 0),
        windows(100, 3, -2, 40),
        windows(97, 2, 1, 200),
        windows(99, 2, 1, 0),
        windows(1'000, 10, 7, 100),
        windows(3, 10, 0, 20),
        windows(200, 5, 0, 0, WindowKind::kCumulative),
        windows(210, 5, -13, 60, WindowKind::kCumulative),
    };
    for (std::size_t i = 0, size = plans.size(); i < size; ++i) {
        if (plans[i].allowed_lateness > 0) {
            plans.push_back(plans[i]);
            plans.back().accumulation = Accumulation::kDiscarding;
        }
    }
    return plans;
}

/// Around the epoch; some records are late, some very late, some keys rare, some times quiet.
Events make_events(unsigned seed, std::size_t size = 1'500) {
    std::mt19937 random(seed);
    std::lognormal_distribution<double> value(3, 2);
    Events events;
    Timestamp now = -900;
    Timestamp watermark = kMinTimestamp;
    for (std::size_t i = 0; i < size; ++i) {
        now += random() % 200 == 0 ? static_cast<Timestamp>(random() % 300)
                                   : static_cast<Timestamp>(random() % 3);
        const auto range = random() % 20 == 0 ? 300U : 8U;
        const Timestamp time = now - static_cast<Timestamp>(random() % range);
        const std::string key = random() % 50 == 0 ? "rare" : std::string(1, "abc"[random() % 3]);
        watermark = std::max(watermark, time - 4);
        events.push_back({key, time, (random() % 4 == 0 ? -1 : 1) * value(random), watermark});
    }
    return events;
}

TEST(SliceTree, PanesAreThoseOfTheDefinition) {
    unsigned seed = 0;
    for (const WindowPlan& plan : plans()) {
        SCOPED_TRACE(testing::Message() << plan.size << " every " << plan.slide << ", offset " << plan.offset
                                        << ", lateness " << plan.allowed_lateness);
        const Events events = make_events(++seed);
        const Execution run = run_whole(plan, events);
        ASSERT_NO_FATAL_FAILURE(expect_panes(run.panes(), panes_by_definition(plan, events)));
    }
}

TEST(SliceTree, BatchCutsAndRestartsChangeNoBit) {
    unsigned seed = 100;
    for (const WindowPlan& plan : plans()) {
        SCOPED_TRACE(testing::Message() << plan.size << " every " << plan.slide << ", offset " << plan.offset
                                        << ", lateness " << plan.allowed_lateness);
        const Events events = make_events(++seed);
        const std::string whole = run_whole(plan, events).bytes();
        for (const unsigned longest : {1U, 40U, 400U}) {
            std::mt19937 random(seed + longest);
            Execution run(plan);
            for (std::size_t at = 0; at < events.size();) {
                const std::size_t size = std::min<std::size_t>(1 + random() % longest, events.size() - at);
                run.push(&events[at], size);
                at += size;
                if (random() % 8 == 0) {
                    run.restart();
                }
            }
            run.end_of_input();
            ASSERT_EQ(run.bytes(), whole);
        }
    }
}

TEST(SliceTree, OtherKeysChangeNoBitOfAKey) {
    for (const WindowPlan& plan : plans()) {
        const Events events = make_events(77);
        const Execution whole = run_whole(plan, events);
        Execution alone(plan);
        for (const Event& event : events) {
            if (event.key == "rare") {
                alone.push(&event, 1);
            } else {
                alone.skip(event);
            }
        }
        alone.end_of_input();
        std::size_t next = 0;
        for (std::size_t pane = 0; pane < whole.panes().size(); ++pane) {
            if (whole.panes().key(pane) != "rare") {
                continue;
            }
            ASSERT_LT(next, alone.panes().size());
            ASSERT_EQ(alone.panes().end[next], whole.panes().end[pane]);
            for (std::size_t column = 0; column < whole.panes().results.size(); ++column) {
                const ResultColumn& a = alone.panes().results[column];
                const ResultColumn& b = whole.panes().results[column];
                ASSERT_TRUE(a.type == ResultType::kInt64 ? a.int64[next] == b.int64[pane]
                                                         : a.float64[next] == b.float64[pane]);
            }
            ++next;
        }
        ASSERT_EQ(next, alone.panes().size());
    }
}

TEST(SliceTree, NothingIsLeftOnceEverythingExpired) {
    for (const WindowPlan& plan : plans()) {
        const Execution run = run_whole(plan, make_events(5));
        EXPECT_EQ(run.window_operator().live_slices(), 0U);
        EXPECT_EQ(run.window_operator().live_keys(), 0U);
        EXPECT_EQ(run.window_operator().state_bytes(), 0U);
    }
}

TEST(SliceTree, NodesAreReleasedWithTheirSlices) {
    const WindowPlan plan = windows(1'000, 1, 0, 100);
    Execution run(plan);
    std::size_t most_at_first = 0;
    for (Timestamp time = 0; time < 20'000; ++time) {
        const Event event{time % 2 == 0 ? "a" : "b", time, static_cast<double>(time % 100), time};
        run.push(&event, 1);
        if (time < 4'000) {
            most_at_first = std::max(most_at_first, run.window_operator().state_bytes());
        } else {
            ASSERT_LE(run.window_operator().state_bytes(), most_at_first + most_at_first / 10);
        }
    }
}

TEST(SliceTree, WindowsAtTheEndsOfTheTimeRangeAreHeld) {
    for (const WindowPlan& plan : plans()) {
        const Events events{{"a", kMinTimestamp, 1, kMinTimestamp},
                            {"a", kMinTimestamp + 1, 2, kMinTimestamp},
                            {"a", kMinTimestamp + 60, 4, kMinTimestamp + 50},
                            {"b", kMaxTimestamp - 60, 8, kMaxTimestamp - 70},
                            {"b", kMaxTimestamp - 1, 16, kMaxTimestamp - 70},
                            {"b", kMaxTimestamp, 32, kMaxTimestamp - 70}};
        const Execution run = run_whole(plan, events);
        EXPECT_EQ(run.window_operator().live_slices(), 0U);
        EXPECT_EQ(run.window_operator().state_bytes(), 0U);
        Execution restarted(plan);
        for (const Event& event : events) {
            restarted.push(&event, 1);
            restarted.restart();
        }
        restarted.end_of_input();
        EXPECT_EQ(restarted.bytes(), run.bytes());
    }
}

TEST(SliceTree, SliceOfTheLastMicrosecondFires) {
    const Execution run = run_whole(windows(1, 1, 0, 0), {{"a", kMaxTimestamp, 5, 0}});
    ASSERT_EQ(run.panes().size(), 1U);
    EXPECT_EQ(run.panes().end[0], kMaxTimestamp);
}

}  // namespace
}  // namespace llmopt_stream
