#pragma once

#include <array>
#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "operator/record_steps.hpp"
#include "pipeline/branch.hpp"
#include "record/batch_part.hpp"
#include "record/record_batch.hpp"
#include "time/watermark_tracker.hpp"

namespace llmopt_stream {

/// A checked plan: what to read, how to window, what to compute.
struct PipelinePlan {
    /// Equal exactly for plans that can read each other's snapshots.
    std::string fingerprint;
    Schema schema;
    WatermarkPlan watermark;
    /// What happens to records before the branches.
    std::vector<RecordStep> steps;
    std::vector<BranchPlan> branches;
    /// Whether the records that go on are put out, for whatever comes behind; and what is computed of each.
    bool hands_on = false;
    std::vector<Expression> projections{};
    /// How far ahead of the clock, and how far behind it, an event time may lie; other records
    /// are malformed. Nothing is refused before the clock was set.
    std::optional<Duration> future_skew;
    std::optional<Duration> past_skew;
    /// How many threads share the keys. It changes no output.
    std::size_t parallelism = 1;
};

/// Input records; what became of those that are not malformed, each branch counts.
struct RecordCounts {
    std::uint64_t records_in = 0;
    std::uint64_t malformed = 0;
    std::array<std::uint64_t, kMalformedKinds> malformed_by_kind{};
};

/// A record that goes on to what comes behind the pipeline.
struct HandedOn {
    /// Its place among the input records of its batch.
    std::uint32_t input_index;
    Timestamp event_time;
    /// The stream's watermark before the record, and after it.
    Timestamp watermark_before;
    Timestamp watermark_after;
};

/// watermark → steps → window → aggregate, driven batch by batch; output waits until it is taken.
/// Synchronous, without clocks or I/O: a run over a file, a push session and
/// the test harness are the same object, driven differently. Not thread safe.
class Pipeline {
public:
    using MalformedCounts = std::array<std::uint64_t, kMalformedKinds>;

    explicit Pipeline(PipelinePlan plan);

    [[nodiscard]] const PipelinePlan& plan() const noexcept { return plan_; }

    /// What a value column holds is settled by the first input that says so: integer columns of an
    /// Arrow stream stay integers unless declared otherwise, records bring declared types or float64,
    /// and a column of nulls says nothing. Later input is taken as what is settled.
    void settle_types(const std::vector<std::optional<FieldType>>& types);
    /// The same for input without types: as declared, float64 where nothing is.
    void settle_types_as_declared();
    /// With the types that values have now: settled, or as declared.
    [[nodiscard]] Schema settled_schema() const;
    /// Throws Error(kConfiguration): a value column is settled as integers, and has a float that is none.
    [[noreturn]] void refuse_float(std::size_t column) const;

    /// The records of a batch that can be processed: without those that lie too far from the
    /// clock or have no session gap, which are counted in `malformed`. Valid until the next call.
    /// Types are settled as declared if they were not before. Throws Error(kConfiguration), having
    /// changed nothing, for a float that does not fit a column settled as integers.
    [[nodiscard]] const RecordBatch& admit(const RecordBatch& batch, MalformedCounts& malformed);
    /// Takes the next input records, of one partition, as admitted. `malformed` counts those of
    /// them that are not in the batch. `watermarks`, where not empty, has the partition's own
    /// watermark after each record.
    void push(const RecordBatch& admitted, const MalformedCounts& malformed, std::uint32_t partition,
              std::span<const Timestamp> watermarks = {});
    /// (place among the input records, why) of the records that the last admit() left out.
    [[nodiscard]] std::span<const std::pair<std::uint32_t, Malformed>> refused() const noexcept {
        return refused_;
    }
    /// See WatermarkTracker.
    void set_partitions(std::span<const std::uint32_t> partitions) {
        watermarks_.set_partitions(partitions, now_);
    }
    void keep_active(std::span<const std::uint32_t> partitions) { watermarks_.keep_active(partitions, now_); }
    /// No record with an earlier time is expected any more. Going back is ignored.
    void advance_watermark(Timestamp watermark);
    /// The clock. Going back is ignored.
    void advance_processing_time(Timestamp now);
    /// Completes and fires everything.
    void end_of_input() { advance_watermark(kMaxTimestamp); }

    [[nodiscard]] Timestamp watermark() const noexcept { return watermarks_.current(); }
    [[nodiscard]] const RecordCounts& counts() const noexcept { return counts_; }
    /// Records that were usable, wherever they went.
    [[nodiscard]] std::uint64_t accepted() const noexcept { return counts_.records_in - counts_.malformed; }

    [[nodiscard]] std::vector<Branch>& branches() noexcept { return branches_; }
    [[nodiscard]] const RecordSteps& steps() const noexcept { return steps_; }
    /// The records of the last push that go on.
    [[nodiscard]] std::span<const HandedOn> handed_on() const noexcept { return handed_on_; }
    /// What a projection gives for each of them; not finite where it is null.
    [[nodiscard]] std::span<const double> projected(std::size_t projection) const noexcept {
        return projected_[projection].float64;
    }

    /// How far behind the greatest time before them records came that were behind it at all. (With several
    /// partitions, behind what the watermark would be if nothing were waited for.)
    [[nodiscard]] const DelayHistogram& delays() const noexcept { return delays_; }
    /// What would become of the only record of an admitted batch, in each branch.
    [[nodiscard]] std::vector<std::vector<WindowVerdict>> explain(const RecordBatch& admitted);

    /// As many threads as the plan's parallelism; started when first asked for.
    [[nodiscard]] WorkerPool& workers();

    /// Everything that a run in progress consists of, panes not yet taken included.
    /// With `held`, for this process alone: state that has no bytes is put there.
    [[nodiscard]] std::string snapshot(HeldObjects* held = nullptr);
    /// Into a new pipeline of the same plan. Throws Error(kCheckpoint) on bytes that are
    /// not a whole, unaltered snapshot of this plan; the pipeline is then not to be used.
    void restore(std::string_view snapshot, const HeldObjects* held = nullptr,
                 const StoredPieces* pieces = nullptr);

    /// Before anything else: state beyond `most_bytes` goes to the backend, as far as it is slices of
    /// windows, under names that begin with `prefix`.
    void use_spill(std::shared_ptr<StateBackend> backend, std::size_t most_bytes, const std::string& prefix);
    /// Null without use_spill().
    [[nodiscard]] const Spill* spill() const noexcept { return spill_.get(); }

    /// Starts a checkpoint of the state as it is now; the one before is complete. Returns a snapshot that
    /// refers to pieces, which store() and take_stored() give: restore() reads both. The names of pieces
    /// begin with `prefix`.
    [[nodiscard]] std::string begin_store(const std::string& prefix);
    /// Encodes about `budget` bytes more, and says whether all is encoded. In between, records may be taken.
    bool store(std::size_t budget);
    /// What has been encoded since the last call.
    [[nodiscard]] StateChanges take_stored();
    /// A checkpoint has failed: nothing counts as stored, and the next one has everything.
    void forget_stored();

private:
    void finish_store() { store(std::numeric_limits<std::size_t>::max()); }
    template <typename EncodeBranch>
    [[nodiscard]] std::string snapshot(HeldObjects* held, EncodeBranch encode_branch);

    [[nodiscard]] std::vector<FieldType> declared_types() const;
    /// The settled ones; float64 for a column that has had nothing but nulls.
    [[nodiscard]] std::vector<FieldType> current_types() const;
    [[nodiscard]] const RecordBatch& with_settled_types(const RecordBatch& batch);
    void take_as_integers(const ValueColumn& from, std::size_t size, std::size_t column);
    [[nodiscard]] Malformed why_unusable(const RecordBatch& batch, std::size_t record) const noexcept;
    void measure_delays(const RecordBatch& batch, Timestamp watermark_before);
    void hand_on(const RecordBatch& admitted, std::span<const std::uint32_t> chosen);
    /// Those records of a batch, with their places in the input.
    [[nodiscard]] const RecordBatch& part_of(const RecordBatch& admitted,
                                             std::span<const std::uint32_t> chosen);
    [[nodiscard]] bool admits_all() const noexcept;

    PipelinePlan plan_;
    /// Nothing for a column that has had nothing but nulls.
    std::optional<std::vector<std::optional<FieldType>>> types_;
    RecordSteps steps_;
    std::unique_ptr<Spill> spill_;
    std::vector<Branch> branches_;
    WatermarkTracker watermarks_;
    Timestamp now_ = 0;
    RecordCounts counts_;
    DelayHistogram delays_;

    /// What has been encoded since take_stored().
    StateChanges stored_;
    bool is_storing_ = false;

    std::optional<WorkerPool> workers_;

    // Scratch, not state.
    std::vector<Timestamp> watermark_after_;
    std::vector<Timestamp> watermark_before_;
    std::vector<HandedOn> handed_on_;
    DerivedColumns projections_;
    std::vector<ValueColumn> projected_;
    BatchPart chosen_part_;
    RecordBatch chosen_;
    std::vector<std::uint32_t> chosen_input_index_;
    /// The greatest time before each record, kMinTimestamp where there is none to compare with.
    std::vector<Timestamp> greatest_before_;
    RecordBatch converted_;
    struct ConvertedValues {
        std::vector<double> float64;
        std::vector<std::int64_t> int64;
        std::vector<std::uint8_t> present;
    };
    std::vector<ConvertedValues> converted_values_;
    BatchPart usable_part_;
    RecordBatch usable_;
    std::vector<std::uint32_t> usable_records_;
    std::vector<std::uint32_t> usable_input_index_;
    std::vector<std::pair<std::uint32_t, Malformed>> refused_;
};

}  // namespace llmopt_stream
