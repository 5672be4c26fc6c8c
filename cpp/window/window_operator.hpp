#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <variant>
#include <vector>

#include "record/record_batch.hpp"
#include "window/aligned_windows.hpp"
#include "window/count_windows.hpp"
#include "window/keyed_windows.hpp"
#include "window/pane.hpp"
#include "window/window_plan.hpp"

namespace llmopt_stream {

/// Keyed, windowed aggregation as a pure function of its input: no thread, clock or I/O
/// inside, output into a buffer. Whoever drives it (a run, a push session, a test, another
/// engine) gets the same panes for the same records and watermarks, however they are cut
/// into batches. Not thread safe.
class WindowOperator {
public:
    WindowOperator(const WindowPlan& plan, MetricRow row);

    /// A record is judged under the watermark of the records before it; then it advances it.
    void on_batch(const RecordBatch& batch, const BatchClock& clock, WindowOutput& out);
    /// A watermark that goes back is ignored. `position` is the number of input records so far.
    void on_watermark(Timestamp watermark, std::uint64_t position, WindowOutput& out);
    /// The clock, at which processing-time triggers fire and windows by the clock complete.
    void on_processing_time(Timestamp now, std::uint64_t position, WindowOutput& out);

    /// What would become of the only record of a batch.
    [[nodiscard]] std::vector<WindowVerdict> explain(const RecordBatch& batch);

    [[nodiscard]] Timestamp watermark() const noexcept;
    [[nodiscard]] std::vector<ResultColumn> make_result_columns() const {
        return context_->row.make_result_columns();
    }

    /// What is alive; all zero once everything has expired.
    [[nodiscard]] std::size_t live_keys() const noexcept { return context_->keys.live(); }
    [[nodiscard]] std::size_t live_slices() const noexcept;
    [[nodiscard]] std::size_t state_bytes() const noexcept { return context_->pool.allocated_bytes(); }

    void encode(ByteWriter& out) const;
    /// Into a new operator of the same plan, or one that has decoded the state of other shards. With `own`,
    /// all of the state becomes this operator's.
    void decode(ByteReader& in, const KeyFilter& keep, bool own);

    /// For checkpoints, see AlignedWindows; the other windows are encoded at once.
    void begin_store(StateChanges& changes, const std::string& prefix, ByteWriter& out);
    bool store(std::size_t& budget);
    void forget_stored();
    void take_obsolete(std::vector<std::string>& names);
    /// From now on slices are spilled, under names that begin with `prefix`; windows without slices are not.
    void use_spill(Spill& spill, const std::string& prefix);

private:
    std::unique_ptr<SliceContext> context_;
    WindowPlan plan_;
    std::variant<std::monostate, AlignedWindows, CountWindows, KeyedWindows> windows_;
};

}  // namespace llmopt_stream
