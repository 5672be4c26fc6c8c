#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "aggregate/metric_row.hpp"
#include "expression/derived_columns.hpp"
#include "pipeline/sharded_operator.hpp"
#include "record/record_batch.hpp"
#include "time/delay_histogram.hpp"
#include "window/window_plan.hpp"
#include "window/window_series.hpp"

namespace llmopt_stream {

/// Makes a metric for value columns of these types.
using MetricFactory =
    std::function<std::shared_ptr<const Metric>(const std::vector<FieldType>& column_types)>;

/// A user's way to say which windows records are in. It may throw.
class UserAssigner {
public:
    virtual ~UserAssigner() = default;
    /// Appends the windows of each record, earliest first, each once; those of record i end at ends[i].
    virtual void assign(std::span<const Timestamp> event_time, std::vector<Interval>& windows,
                        std::vector<std::uint32_t>& ends) = 0;
};

/// What one branch of a stream does: which windows, and what it computes of them.
struct BranchPlan {
    WindowPlan window;
    /// Of kGiven windows.
    std::shared_ptr<UserAssigner> assigner;
    /// The value column, in seconds, where each record has a session gap of its own.
    std::optional<std::size_t> gap_column;
    /// Value columns behind those of the schema, and which records some metrics take.
    std::vector<Expression> derived;
    std::vector<Expression> selections;
    std::vector<MetricFactory> metrics;
    /// What is computed across a key's windows; their results come behind those of the metrics.
    std::vector<SeriesPlan> series;
    Duration forget_after = 0;
    /// Which of the results, in their order, comes first in the output, which second, …
    std::vector<std::size_t> result_order;
};

/// Where a branch's records went, and what it has put out.
struct BranchCounts {
    std::uint64_t aggregated = 0;
    std::uint64_t late = 0;
    std::uint64_t outside_windows = 0;
    std::uint64_t unfired = 0;
    std::uint64_t panes = 0;
    /// By metric, values of aggregated records that were null, not finite or of a wrong type.
    std::vector<std::uint64_t> skipped_values;
};

/// The gap in microseconds, rounded to the nearest; nothing if it is no positive number.
[[nodiscard]] std::optional<Duration> session_gap(const ValueColumn& seconds, std::size_t record) noexcept;

/// window → aggregate for one branch; output waits until it is taken.
class Branch {
public:
    /// Throws Error(kConfiguration) for settings that do not go together.
    Branch(BranchPlan plan, const std::vector<FieldType>& declared);

    [[nodiscard]] const BranchPlan& plan() const noexcept { return plan_; }

    /// Makes the operator; `types` are those of the schema's values. Until then the branch takes no records.
    void settle_types(const std::vector<FieldType>& types, std::size_t shards, Timestamp watermark,
                      Timestamp now);

    /// After settle_types(): other types for columns of which no value was taken yet.
    void change_types(const std::vector<FieldType>& types, std::size_t shards);

    /// `now` is the clock.
    void on_batch(const RecordBatch& batch, const BatchClock& clock, Timestamp now, WorkerPool* pool);
    void on_watermark(Timestamp watermark, std::uint64_t position);
    void on_processing_time(Timestamp now, std::uint64_t position);

    /// What would become of the only record of a batch.
    [[nodiscard]] std::vector<WindowVerdict> explain(const RecordBatch& batch, Timestamp now) {
        return operator_->explain(with_windows(batch, now));
    }
    /// Counts how late records would be for their last window if nothing were waited for: the greatest time
    /// before each is given, or kMinTimestamp where there is none.
    void measure_delays(const RecordBatch& batch, std::span<const Timestamp> greatest_before) noexcept;
    /// Of records whose last window had ended when they came, how long before.
    [[nodiscard]] const DelayHistogram& delays_after_end() const noexcept { return delays_after_end_; }

    /// The panes since the last call, in firing order.
    [[nodiscard]] PaneTable take_panes();
    [[nodiscard]] std::vector<LateRecord> take_late();
    [[nodiscard]] const BranchCounts& counts() const noexcept { return counts_; }
    /// Null before types are settled.
    [[nodiscard]] const ShardedOperator* windows() const noexcept {
        return operator_ ? &*operator_ : nullptr;
    }

    /// A decoding branch has its types settled exactly if the encoding one had.
    void encode(ByteWriter& out) const;
    void decode(ByteReader& in);

    /// For checkpoints: the same as encode(), but slices go into `changes`, step by step; see
    /// AlignedWindows.
    void begin_store(StateChanges& changes, const std::string& prefix, ByteWriter& out);
    bool store(std::size_t& budget) { return !operator_ || operator_->store(budget); }
    void forget_stored();
    /// Before types are settled: slices are spilled, under names that begin with `prefix`.
    void use_spill(Spill& spill, std::string prefix) {
        spill_ = &spill;
        prefix_ = std::move(prefix);
    }

private:
    void make_operator(const std::vector<FieldType>& types, std::size_t shards);
    void encode_counts(ByteWriter& out) const;
    [[nodiscard]] Metrics metrics(std::vector<FieldType> types) const;
    /// Makes the result columns of panes that are yet to come.
    void make_result_columns(const ShardedOperator& of);
    /// Completes the panes that the operator has put out, and counts. Nothing before the watermark comes
    /// back.
    void finish_output(Timestamp watermark);
    void measure_delays_after_end(std::span<const Timestamp> times,
                                  std::span<const Timestamp> greatest_before) noexcept;
    void measure_delay_after(Timestamp end, Timestamp greatest) noexcept {
        if (greatest >= end) {
            delays_after_end_.add(greatest - end);
        }
    }
    /// The batch with what the windows need of each record.
    [[nodiscard]] RecordBatch with_windows(const RecordBatch& batch, Timestamp now);

    BranchPlan plan_;
    std::optional<AlignedWindowAssigner> assigner_;
    std::optional<ShardedOperator> operator_;
    Spill* spill_ = nullptr;
    std::string prefix_;
    /// Names of pieces that an operator of other types has stored.
    std::vector<std::string> obsolete_;
    WindowSeries series_;
    WindowOutput output_;
    BranchCounts counts_;
    DelayHistogram delays_after_end_;

    // Scratch, not state.
    DerivedColumns derived_;
    std::vector<Timestamp> now_;
    std::vector<Timestamp> clock_;
    std::vector<Duration> gap_;
    std::vector<Interval> windows_;
    std::vector<std::uint32_t> window_ends_;
};

}  // namespace llmopt_stream
