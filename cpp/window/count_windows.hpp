#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "record/record_batch.hpp"
#include "window/aligned_window_assigner.hpp"
#include "window/batch_clock.hpp"
#include "window/batch_codes.hpp"
#include "window/open_windows.hpp"
#include "window/pending_rows.hpp"
#include "window/slice.hpp"
#include "window/slice_context.hpp"
#include "window/window_plan.hpp"

namespace llmopt_stream {

/// Count windows: aligned windows over each key's record numbers 0, 1, 2, …, one ending at
/// every multiple of the slide, with slices of the numbers between their edges. They fire when
/// full, whatever the time is, so no record is late. The first windows of a key begin before
/// number 0 (as in Flink's countWindow). A key's windows are told apart by the index of their
/// pane, so a key's count is kept until the end of the input.
class CountWindows {
public:
    CountWindows(const WindowPlan& plan, SliceContext& context);

    /// See WindowOperator.
    void on_batch(const RecordBatch& batch, const BatchClock& clock, WindowOutput& out);
    void on_watermark(Timestamp watermark, std::uint64_t position, WindowOutput& out);
    void on_processing_time(Timestamp, std::uint64_t, WindowOutput&) noexcept {}
    [[nodiscard]] std::vector<WindowVerdict> explain(const RecordBatch& batch);

    [[nodiscard]] Timestamp watermark() const noexcept { return watermark_; }
    [[nodiscard]] std::size_t live_slices() const noexcept { return slices_.live(); }

    void encode(ByteWriter& out) const;
    void decode(ByteReader& in, const KeyFilter& keep);

private:
    using Place = OpenWindows::Place;
    static constexpr Place kNone = OpenWindows::kNone;

    /// How many records of the key there were.
    [[nodiscard]] Timestamp& count_of(KeyInterner::Code code);
    /// The window of the key that ends at `end`, with what is there of it.
    void fire(KeyInterner::Code code, Timestamp end, std::uint64_t position, WindowOutput& out);
    /// Forgets the slices that end at `until` or before.
    void forget(KeyInterner::Code code, Timestamp until);
    void end_of_input(std::uint64_t position, WindowOutput& out);

    Duration size_;
    Duration slide_;
    bool flush_rest_;
    AlignedWindowAssigner assigner_;
    SliceContext* context_;

    Timestamp watermark_ = kMinTimestamp;
    OpenWindows slices_;
    std::vector<Timestamp> counts_;  // by code; where not 0, it holds the code

    // Scratch.
    BatchCodes codes_;
    PendingRows pending_;
    std::vector<Place> window_;
    Slice merged_;
};

}  // namespace llmopt_stream
