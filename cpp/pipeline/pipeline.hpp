#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "aggregate/aggregation.hpp"
#include "pipeline/sharded_operator.hpp"
#include "record/record_batch.hpp"
#include "time/watermark_tracker.hpp"
#include "window/window_plan.hpp"

namespace llmopt_stream {

/// Several statistics of one value field.
struct MetricPlan {
    /// Index into Schema::values.
    std::size_t column = 0;
    std::vector<Aggregation> aggregations;
};

/// A checked plan: what to read, how to window, what to compute.
struct PipelinePlan {
    /// Equal exactly for plans that can read each other's snapshots.
    std::string fingerprint;
    Schema schema;
    WindowPlan window;
    std::vector<MetricPlan> metrics;
    /// Absent: watermarks are set explicitly.
    std::optional<Duration> max_out_of_orderness;
    /// With a bound: how far event time advances between two steps of the watermark; 0: at any record.
    Duration watermark_interval = 0;
    /// How many threads share the keys. It changes no output.
    std::size_t parallelism = 1;
};

/// Where every record went: records_in = aggregated + late + malformed + outside_windows.
struct RecordCounts {
    std::uint64_t records_in = 0;
    std::uint64_t aggregated = 0;
    std::uint64_t late = 0;
    std::uint64_t outside_windows = 0;
    std::uint64_t malformed = 0;
    std::array<std::uint64_t, kMalformedKinds> malformed_by_kind{};
    std::uint64_t panes = 0;
    /// By metric, values of aggregated records that were null, not finite or of a wrong type.
    std::vector<std::uint64_t> skipped_values;
};

/// watermark → window → aggregate, driven batch by batch; output waits until it is taken.
/// Synchronous, without clocks or I/O: a run over a file, a push session and
/// the test harness are the same object, driven differently. Not thread safe.
class Pipeline {
public:
    explicit Pipeline(PipelinePlan plan);

    [[nodiscard]] const PipelinePlan& plan() const noexcept { return plan_; }

    /// What value columns hold is settled by the first input: integer columns of an Arrow
    /// stream stay integers unless declared otherwise, records bring declared types or float64.
    /// Later batches may bring integers where floats are settled, but not the other way
    /// round: Error(kConfiguration).
    void settle_types(const std::vector<FieldType>& types);
    /// The types as the schema declares them, float64 where it does not.
    [[nodiscard]] std::vector<FieldType> declared_types() const;

    /// Takes the next input records, of one partition. `malformed` counts those of them
    /// that are not in the batch. Types are settled as declared if they were not before.
    /// `watermarks`, where not empty, has the partition's own watermark after each record.
    void push(const RecordBatch& batch, const std::array<std::uint64_t, kMalformedKinds>& malformed,
              std::uint32_t partition, std::span<const Timestamp> watermarks = {});
    /// No record with an earlier time is expected any more. Going back is ignored.
    void advance_watermark(Timestamp watermark);
    /// Completes and fires everything.
    void end_of_input() { advance_watermark(kMaxTimestamp); }

    [[nodiscard]] Timestamp watermark() const noexcept { return watermarks_.current(); }
    [[nodiscard]] const RecordCounts& counts() const noexcept { return counts_; }
    /// Records that were usable, wherever they went.
    [[nodiscard]] std::uint64_t accepted() const noexcept { return counts_.records_in - counts_.malformed; }
    /// The operator; types are settled as declared if they were not before.
    [[nodiscard]] ShardedOperator& window_operator();

    /// As many threads as the plan's parallelism; started when first asked for.
    [[nodiscard]] WorkerPool& workers();

    /// The panes since the last call, in firing order.
    [[nodiscard]] PaneTable take_panes();
    [[nodiscard]] std::vector<LateRecord> take_late();

    /// Everything that a run in progress consists of, panes not yet taken included.
    [[nodiscard]] std::string snapshot();
    /// Into a new pipeline of the same plan. Throws Error(kCheckpoint) on bytes that are
    /// not a whole, unaltered snapshot of this plan; the pipeline is then not to be used.
    void restore(std::string_view snapshot);

private:
    [[nodiscard]] const RecordBatch& with_settled_types(const RecordBatch& batch);
    void count_output();

    PipelinePlan plan_;
    std::optional<std::vector<FieldType>> types_;
    std::optional<ShardedOperator> operator_;
    WatermarkTracker watermarks_;
    WindowOutput output_;
    RecordCounts counts_;

    std::optional<WorkerPool> workers_;

    // Scratch, not state.
    std::vector<Timestamp> watermark_after_;
    RecordBatch converted_;
    std::vector<std::vector<double>> converted_values_;
};

}  // namespace llmopt_stream
