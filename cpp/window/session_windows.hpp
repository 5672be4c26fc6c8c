#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "record/record_batch.hpp"
#include "window/batch_clock.hpp"
#include "window/batch_codes.hpp"
#include "window/pane.hpp"
#include "window/slice_context.hpp"
#include "window/window_plan.hpp"

namespace llmopt_stream {

/// The state of session windows: each key's records that are at most one gap apart share a
/// session [first, last + gap). A session is a slice that grows, and merges with another when
/// a record bridges them.
///
/// A record is merged first and the merged session judged afterwards, so a record joins a
/// session that has not expired however late it is itself. A session that has fired lives
/// until it expires, can grow, and then fires again: its pane names the intervals of the
/// panes that it supersedes (Flink's merging windows; Akidau et al., VLDB 2015).
class SessionWindows {
public:
    SessionWindows(const WindowPlan& plan, SliceContext& context);
    SessionWindows(const SessionWindows&) = delete;
    SessionWindows& operator=(const SessionWindows&) = delete;
    ~SessionWindows();

    /// See WindowOperator.
    void on_batch(const RecordBatch& batch, const BatchClock& clock, WindowOutput& out);
    void on_watermark(Timestamp watermark, std::uint64_t position, WindowOutput& out);

    [[nodiscard]] Timestamp watermark() const noexcept { return watermark_; }
    [[nodiscard]] std::size_t live_slices() const noexcept { return live_; }

    void encode(ByteWriter& out) const;
    void decode(ByteReader& in, const KeyFilter& keep);

private:
    using Index = std::uint32_t;
    static constexpr Index kNone = 0xFFFFFFFF;

    struct Session {
        Timestamp start = 0;
        Timestamp end = 0;  // one gap after the last record
        std::byte* row = nullptr;
        KeyInterner::Code code = 0;
        Index older = kNone;  // the key's next session back in time
        std::uint32_t panes = 0;
        /// Whether a pane has fired since the session's end was last moved.
        bool complete = false;
        /// Distinguishes the uses of one place in sessions_, for timers that outlive a session.
        std::uint32_t generation = 0;
        /// The intervals of earlier panes that the next one supersedes.
        std::vector<Interval> standing;
    };
    /// When to look at a session again: at its end or expiry as they were when it was set. A
    /// session that has grown since is given a new timer then, not at every record.
    struct Timer {
        Timestamp time;
        Index session;
        std::uint32_t generation;
        /// For std::push_heap: the earliest timer is on top.
        friend bool operator<(const Timer& a, const Timer& b) noexcept { return a.time > b.time; }
    };

    /// The session that the record belongs to now, merged from those that it touches; kNone if
    /// it has expired.
    [[nodiscard]] Index session_for(KeyInterner::Code code, Timestamp t, const RecordBatch& batch,
                                    std::size_t record, WindowOutput& out);
    [[nodiscard]] Index create(KeyInterner::Code code, Timestamp t);
    /// Moves everything of `from` into `into` and forgets it; the lists are the caller's.
    void absorb(Session& into, Index from);
    void erase(Index session);
    void unlink(Index session);
    void free_place(Index session);
    void set_timer(Index session, Timestamp time);
    void flush(const RecordBatch& batch, std::size_t next, WindowOutput& out);
    /// Moves the watermark on to where it is before stream record `until`; record `next` comes next.
    void advance_before(std::size_t until, const RecordBatch& batch, std::size_t next,
                        const BatchClock& clock, WindowOutput& out);
    void fire(Session& session, PaneTiming timing, std::uint64_t position, WindowOutput& out);
    [[nodiscard]] Timestamp expiry(const Session& session) const noexcept {
        return add_saturating(session.end, allowed_lateness_);
    }
    [[nodiscard]] Index& newest_of(KeyInterner::Code code) {
        if (code >= newest_.size()) {
            newest_.resize(std::size_t{code} + code / 2 + 1, kNone);
        }
        return newest_[code];
    }

    Duration gap_;
    Duration allowed_lateness_;
    Accumulation accumulation_;
    bool collect_late_;
    SliceContext* context_;

    Timestamp watermark_ = kMinTimestamp;
    std::vector<Session> sessions_;  // by place; places are reused
    std::vector<Index> newest_;      // by code; the key's sessions from there back in time
    std::size_t live_ = 0;

    // Derived from the sessions.
    std::vector<Index> free_places_;
    std::vector<Timer> timers_;  // a heap

    // Scratch.
    BatchCodes codes_;
    std::vector<std::byte*> pending_;
    std::size_t pending_first_ = 0;
    std::vector<Index> due_;
};

}  // namespace llmopt_stream
