#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <span>
#include <vector>

#include "record/record_batch.hpp"
#include "window/aligned_window_assigner.hpp"
#include "window/slice.hpp"
#include "window/window_plan.hpp"

namespace llmopt_stream {

/// The state of tumbling and sliding windows: slices, and for windows that have fired but
/// not expired how many panes each key has had.
///
/// A record updates one slice, whatever the overlap. A window fires by merging its slices
/// in time order, so the same slices always give the same bits.
class AlignedWindows {
public:
    AlignedWindows(const WindowPlan& plan, SliceContext& context);

    /// The next watermark, after `watermark`, at which a window completes or expires; no
    /// record between the two is treated differently.
    [[nodiscard]] Timestamp next_change_after(Timestamp watermark) const noexcept;

    /// Adds records [first, last) of the batch, all judged under watermarks in
    /// [watermark, next_change_after(watermark)). `watermark_after[i]` is the one after record i,
    /// `before` the one before record `first`.
    void add(const RecordBatch& batch, std::size_t first, std::size_t last, Timestamp before,
             std::span<const Timestamp> watermark_after, std::uint64_t first_position, bool collect_late,
             WindowOutput& out);

    /// Fires what completes and forgets what expires between two watermarks.
    void advance(Timestamp from, Timestamp to, std::uint64_t position, WindowOutput& out);

    /// Brackets the add() and advance() calls of one batch: its dictionary indices mean other
    /// keys than those of the batch before.
    void begin_batch(const RecordBatch& batch);
    void end_batch() noexcept;

    [[nodiscard]] std::size_t live_slices() const noexcept { return slices_.size(); }

    void encode(ByteWriter& out) const;
    void decode(ByteReader& in);

private:
    /// A window that has fired and may fire again.
    struct FiredWindow {
        explicit FiredWindow(SliceContext& context) : keys(&context.keys) {}
        FiredWindow(const FiredWindow&) = delete;
        FiredWindow& operator=(const FiredWindow&) = delete;
        ~FiredWindow();

        std::uint32_t& panes_of(KeyInterner::Code code);

        KeyInterner* keys;
        SlotIndex index;
        std::vector<KeyInterner::Code> codes;
        std::vector<std::uint32_t> panes;
    };
    using FiredWindows = std::map<Timestamp, FiredWindow>;  // by window end

    enum class Fate : std::uint8_t { kOpen, kFiresAgain, kExpired, kOutside };

    /// Where records of one stretch of time go, as long as no window completes or expires.
    struct Route {
        Interval span{0, 0};
        Fate fate = Fate::kOpen;
        Slice* slice = nullptr;
        std::vector<std::byte*> rows;  // by dictionary index; nullptr where not looked up yet
        std::uint64_t last_use = 0;
    };

    Route& route_of(Timestamp t, Timestamp watermark);
    void forget_routes() noexcept;
    [[nodiscard]] Slice& slice_at(const Interval& span);
    [[nodiscard]] KeyInterner::Code code_of(const RecordBatch& batch, std::uint32_t dictionary_index);
    [[nodiscard]] std::byte* row_of(Route& route, const RecordBatch& batch, std::uint32_t dictionary_index);

    void fire(Timestamp end, Timestamp watermark, std::uint64_t position, WindowOutput& out);
    void fire_again(const RecordBatch& batch, std::size_t record, KeyInterner::Code code, Timestamp watermark,
                    std::uint64_t position, WindowOutput& out);
    void append_pane(const std::byte* row, KeyInterner::Code code, Timestamp end, Timestamp watermark,
                     std::uint64_t position, PaneTiming timing, WindowOutput& out);
    [[nodiscard]] bool expired(Timestamp end, Timestamp watermark) const noexcept {
        return watermark >= add_saturating(end, allowed_lateness_);
    }
    /// The slices of the window that ends at `end`: a range of slices_.
    [[nodiscard]] std::pair<std::size_t, std::size_t> slices_of(Timestamp end) const noexcept;

    AlignedWindowAssigner assigner_;
    Duration allowed_lateness_;
    Accumulation accumulation_;
    SliceContext* context_;

    std::deque<std::unique_ptr<Slice>> slices_;  // by time
    FiredWindows fired_;

    // Scratch, not state.
    Slice merged_;
    std::vector<KeyInterner::Code> codes_of_batch_;
    bool cache_rows_ = false;
    std::size_t dictionary_size_ = 0;
    std::array<Route, 4> routes_;
    std::uint64_t uses_ = 0;
    std::vector<std::byte*> pending_;
};

}  // namespace llmopt_stream
