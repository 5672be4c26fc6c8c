#pragma once

#include <string>
#include <utility>
#include <vector>

#include "aggregate/metric_row.hpp"
#include "aggregate/value_statistics.hpp"
#include "record/key_dictionary.hpp"
#include "window/window_operator.hpp"

namespace llmopt_stream::testing {

struct Record {
    std::string key;
    Timestamp time;
    double value;
};

/// A pane as text: "key [start,end) sum=… count=… timing#index last".
[[nodiscard]] inline std::string pane_text(const PaneTable& panes, std::size_t pane) {
    const auto text = [&](const ResultColumn& column) {
        return column.type == ResultType::kInt64 ? std::to_string(column.int64[pane])
                                                 : std::to_string(static_cast<long>(column.float64[pane]));
    };
    const char* const timing = panes.timing[pane] == PaneTiming::kOnTime  ? "on_time"
                               : panes.timing[pane] == PaneTiming::kEarly ? "early"
                                                                          : "late";
    return std::string(panes.key(pane)) + " [" + std::to_string(panes.start[pane]) + "," +
           std::to_string(panes.end[pane]) + ") count=" + text(panes.results[0]) +
           " sum=" + text(panes.results[1]) + " " + timing + "#" + std::to_string(panes.index[pane]) +
           (panes.is_last[pane] != 0 ? " last" : "");
}

/// Drives an operator that counts and sums, with literal records and watermarks. Keys are used as
/// they are, in place of encoded ones.
class OperatorDriver {
public:
    explicit OperatorDriver(const WindowPlan& plan) : plan_(plan), operator_(plan, row()) {
        out_.panes.results = operator_.make_result_columns();
        out_.skipped_values.resize(1);
    }

    /// The records all arrive under the watermark that is set.
    void push(const std::vector<Record>& records) { push_under(records, {}); }

    /// Explicitly with the watermark after each record.
    void push_under(const std::vector<Record>& records, std::vector<Timestamp> watermark_after) {
        if (watermark_after.empty()) {
            watermark_after.assign(records.size(), operator_.watermark());
        }
        with_batch(records, [&](RecordBatch& batch) {
            operator_.on_batch(batch, {watermark_after, position_, {}, {}}, out_);
        });
        position_ += records.size();
    }

    /// The windows of record i end at ends[i].
    void push_given(const std::vector<Record>& records, const std::vector<Interval>& windows,
                    const std::vector<std::uint32_t>& ends) {
        const std::vector<Timestamp> watermark_after(records.size(), operator_.watermark());
        with_batch(records, [&](RecordBatch& batch) {
            batch.windows = windows;
            batch.window_ends = ends;
            operator_.on_batch(batch, {watermark_after, position_, {}, {}}, out_);
        });
        position_ += records.size();
    }

    [[nodiscard]] std::vector<WindowVerdict> explain(const Record& record) {
        std::vector<WindowVerdict> verdicts;
        with_batch({record}, [&](RecordBatch& batch) { verdicts = operator_.explain(batch); });
        return verdicts;
    }

    void processing_time(Timestamp now) { operator_.on_processing_time(now, position_, out_); }

    template <typename Use>
    void with_batch(const std::vector<Record>& records, Use use) {
        KeyDictionary keys;
        std::vector<Timestamp> times;
        std::vector<std::uint32_t> key_indices;
        std::vector<double> values;
        for (const Record& record : records) {
            times.push_back(record.time);
            key_indices.push_back(keys.intern(record.key));
            values.push_back(record.value);
        }
        RecordBatch batch;
        batch.size = batch.input_records = records.size();
        batch.event_time = times;
        batch.key = key_indices;
        batch.keys = &keys;
        batch.values = {ValueColumn{FieldType::kFloat64, values, {}, {}}};
        use(batch);
    }

    void watermark(Timestamp time) { operator_.on_watermark(time, position_, out_); }

    /// The panes since the last call.
    [[nodiscard]] std::vector<std::string> panes() {
        std::vector<std::string> texts;
        for (std::size_t pane = 0; pane < out_.panes.size(); ++pane) {
            texts.push_back(pane_text(out_.panes, pane));
        }
        out_.panes = PaneTable{};
        out_.panes.results = operator_.make_result_columns();
        return texts;
    }
    [[nodiscard]] WindowOutput& output() noexcept { return out_; }
    [[nodiscard]] WindowOperator& window_operator() noexcept { return operator_; }
    [[nodiscard]] const WindowPlan& plan() const noexcept { return plan_; }

    [[nodiscard]] std::string encode() const {
        ByteWriter out;
        operator_.encode(out);
        return out.take();
    }
    void decode(const std::string& bytes) {
        ByteReader in(bytes);
        operator_.decode(in, [](std::uint64_t) { return true; }, true);
    }

private:
    [[nodiscard]] static MetricRow row() {
        return MetricRow({std::make_shared<const ValueStatistics>(
            0, FieldType::kFloat64,
            std::vector<Aggregation>{{AggregationKind::kCount, 0, "count"},
                                     {AggregationKind::kSum, 0, "sum"}})});
    }

    WindowPlan plan_;
    WindowOperator operator_;
    WindowOutput out_;
    std::uint64_t position_ = 0;
};

}  // namespace llmopt_stream::testing
