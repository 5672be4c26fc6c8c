#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "record/record_batch.hpp"
#include "window/aligned_window_assigner.hpp"
#include "window/batch_clock.hpp"
#include "window/batch_codes.hpp"
#include "window/open_windows.hpp"
#include "window/pending_rows.hpp"
#include "window/slice_context.hpp"
#include "window/window_plan.hpp"

namespace llmopt_stream {

/// Windows with a row and a trigger's state for each key: every kind but count windows, and every trigger.
/// (AlignedWindows is the faster way for aligned windows with the default trigger.)
///
/// Sessions: a key's records that touch share one, [first, last + gap). A record is merged
/// first and the merged session judged afterwards, so a record joins a session that has not
/// expired however late it is itself. A session that has fired lives until it expires, can
/// grow, and then fires again: its pane names the intervals of the panes that it supersedes
/// (Flink's merging windows; Akidau et al., VLDB 2015).
class KeyedWindows {
public:
    KeyedWindows(const WindowPlan& plan, SliceContext& context);

    /// See WindowOperator.
    void on_batch(const RecordBatch& batch, const BatchClock& clock, WindowOutput& out);
    void on_watermark(Timestamp watermark, std::uint64_t position, WindowOutput& out);
    void on_processing_time(Timestamp now, std::uint64_t position, WindowOutput& out);

    /// What would become of the only record of a batch; a session is what it would be with it.
    [[nodiscard]] std::vector<WindowVerdict> explain(const RecordBatch& batch);

    [[nodiscard]] Timestamp watermark() const noexcept { return watermark_; }
    [[nodiscard]] std::size_t live_slices() const noexcept { return windows_.live(); }

    void encode(ByteWriter& out) const;
    void decode(ByteReader& in, const KeyFilter& keep);

private:
    using Place = OpenWindows::Place;
    static constexpr Place kNone = OpenWindows::kNone;

    /// The windows that a record is in, earliest first; of a session, its own.
    [[nodiscard]] std::span<const Interval> spans_of(const RecordBatch& batch, std::size_t record);
    /// The session that the record belongs to now, merged from those that it touches; kNone if
    /// it has expired.
    [[nodiscard]] Place session_for(KeyInterner::Code code, const Interval& own, const RecordBatch& batch,
                                    std::size_t record, WindowOutput& out);
    /// Moves everything of `from`, which is unlinked, into `into` and frees it.
    void absorb(Place into, Place from);
    [[nodiscard]] Place find_or_create(KeyInterner::Code code, const Interval& span);

    /// Adds the record to its windows; false if none takes it.
    [[nodiscard]] bool add(const RecordBatch& batch, std::size_t record, KeyInterner::Code code,
                           std::uint64_t position, WindowOutput& out);
    /// After a record was added to a window: fires it if it is to.
    void taken(Place place, const RecordBatch& batch, std::size_t record, std::uint64_t position,
               WindowOutput& out);
    /// Moves the watermark on to where it is before stream record `until`; record `next` comes next.
    void advance_before(std::size_t until, const RecordBatch& batch, std::size_t next,
                        const BatchClock& clock, WindowOutput& out);

    [[nodiscard]] bool is_ready(const OpenWindow& window, bool ask_user) const;
    void fire(Place place, PaneTiming timing, std::uint64_t position, WindowOutput& out);
    void fire_due(std::uint64_t position, bool ask_user, Timestamp watermark_before, WindowOutput& out);
    void set_timer(Place place);
    void set_clock_timer(Place place);
    [[nodiscard]] bool takes_no_more(Timestamp end) const noexcept {
        return watermark_ >= add_saturating(end, plan_.allowed_lateness);
    }
    [[nodiscard]] Timestamp purge_time(const OpenWindow& window) const noexcept {
        return add_saturating(window.span.end, std::max(plan_.allowed_lateness, plan_.kept_after_end));
    }

    const WindowPlan plan_;
    const std::vector<Duration> delays_;
    const bool default_trigger_;
    const bool asks_user_;
    /// Whether windows may be there that take no more records.
    const bool keeps_longer_;
    std::optional<AlignedWindowAssigner> assigner_;
    SliceContext* context_;

    Timestamp watermark_ = kMinTimestamp;
    Timestamp clock_ = 0;
    OpenWindows windows_;

    // Derived from the windows.
    WindowTimers timers_;
    WindowTimers clock_timers_;

    // Scratch.
    BatchCodes codes_;
    PendingRows pending_;
    std::size_t stepped_ = 0;
    std::vector<Place> due_;
    std::vector<Place> taken_;
    std::vector<Interval> spans_;
    std::vector<std::uint64_t> skipped_twice_;
};

}  // namespace llmopt_stream
