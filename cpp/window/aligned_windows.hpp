#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "record/record_batch.hpp"
#include "window/aligned_window_assigner.hpp"
#include "window/batch_clock.hpp"
#include "window/batch_codes.hpp"
#include "window/key_order.hpp"
#include "window/merged_rows.hpp"
#include "window/pending_rows.hpp"
#include "window/slice.hpp"
#include "window/slice_sequence.hpp"
#include "window/slice_tree.hpp"
#include "window/window_plan.hpp"

namespace llmopt_stream {

/// The state of tumbling and sliding windows: slices, and for windows that have fired but
/// not expired how many panes each key has had.
///
/// A record updates one slice, whatever the overlap. A window fires by merging its slices,
/// in time order or, if they are many, as a SliceTree groups them: the same slices always
/// give the same bits.
class AlignedWindows {
public:
    AlignedWindows(const WindowPlan& plan, SliceContext& context);

    /// See WindowOperator.
    void on_batch(const RecordBatch& batch, const BatchClock& clock, WindowOutput& out);
    void on_watermark(Timestamp watermark, std::uint64_t position, WindowOutput& out);

    [[nodiscard]] Timestamp watermark() const noexcept { return watermark_; }
    [[nodiscard]] std::size_t live_slices() const noexcept { return slices_.size(); }

    void encode(ByteWriter& out) const;
    /// With `own`, pieces that it reads are its own from now on; otherwise they are to be erased.
    void decode(ByteReader& in, const KeyFilter& keep, bool own);

    /// The same as encode(), but slices go into `changes`, step by step; `prefix` tells their pieces from
    /// others'.
    void begin_store(StateChanges& changes, const std::string& prefix, ByteWriter& out);
    /// Goes on until all is encoded, and says so, or about `budget` bytes were written, which it takes off.
    bool store(std::size_t& budget);
    /// Gives up what was stored: the next checkpoint has everything.
    void forget_stored();
    /// Where pieces of slices go that the memory budget has no room for.
    void set_prefix(const std::string& prefix) { prefix_ = prefix; }
    /// Moves the names of pieces there that nothing refers to, or will refer to once this is gone.
    void take_obsolete(std::vector<std::string>& names);

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
        SliceNumber number = 0;
        bool in_tree = false;          // nodes may have been merged from it
        std::vector<std::byte*> rows;  // by dictionary index if cached; nullptr where not looked up yet
        std::uint64_t last_use = 0;

        /// Whether a record whose row is known takes nothing but being added.
        [[nodiscard]] bool takes_runs() const noexcept {
            return fate == Fate::kOpen && slice != nullptr && !in_tree;
        }
    };

    /// The next watermark, after the current one, at which a window completes or expires; no
    /// record before that is treated differently.
    [[nodiscard]] Timestamp next_change() const noexcept;
    /// Adds records [first, last), the first of which is judged under the current watermark and
    /// none under next_change() or later.
    void add(const RecordBatch& batch, const BatchClock& clock, std::size_t first, std::size_t last,
             WindowOutput& out);

    [[nodiscard]] Route& route_of(Timestamp t);
    void forget_routes() noexcept;
    [[nodiscard]] std::byte* row_of(Route& route, std::uint32_t dictionary_index);

    /// Of a slice that is about to be read or changed.
    Slice& loaded(Slice& slice);
    void load_slices_of(SliceRange window);
    /// Leaves slices that were not used for long to the spill store until the others fit.
    void keep_to_budget();
    void write(Slice& slice);
    [[nodiscard]] bool is_over_budget() const noexcept {
        return context_->spill != nullptr && context_->pool.allocated_bytes() > context_->spill->most_bytes;
    }

    template <typename EncodeSlice>
    void encode(ByteWriter& out, const std::string& prefix, EncodeSlice encode_slice) const;
    void forget_pieces_of(const Slice& slice, const std::string& prefix);
    void expire(std::unique_ptr<Slice> slice);

    void fire(Timestamp end, std::uint64_t position, WindowOutput& out);
    /// The rows, a Slice or MergedRows, of the window that ends at `end`.
    template <typename Rows>
    void fire(const Rows& rows, Timestamp end, std::uint64_t position, WindowOutput& out);
    void fire_again(const RecordBatch& batch, std::size_t record, std::uint64_t position, WindowOutput& out);
    void append_pane(const std::byte* row, KeyInterner::Code code, Timestamp end, std::uint64_t position,
                     PaneTiming timing, WindowOutput& out);
    /// Where panes of the window that ends at `end` are counted; nullptr if they are its last. What fires as
    /// it expires has not fired before, or it would have expired earlier.
    [[nodiscard]] FiredWindow* fired_window(Timestamp end);
    [[nodiscard]] bool expired(Timestamp end) const noexcept {
        return watermark_ >= add_saturating(end, plan_.allowed_lateness);
    }
    /// The smallest window end after t that has not expired.
    [[nodiscard]] Timestamp first_unexpired_end_after(Timestamp t) const noexcept {
        return std::max(assigner_.next_end_after(t),
                        assigner_.next_end_after(add_saturating(watermark_, -plan_.allowed_lateness)));
    }
    /// Into merged_, which is empty: the rows of the window that ends at `end`.
    void merge(Timestamp end);
    /// The same for one key, into its slot.
    void merge(Timestamp end, KeyInterner::Code code, std::uint32_t slot);

    const WindowPlan plan_;
    AlignedWindowAssigner assigner_;
    SliceContext* context_;

    Timestamp watermark_ = kMinTimestamp;
    SliceSequence slices_;
    FiredWindows fired_;

    // What is stored of the slices, and where.
    std::string prefix_;
    std::vector<std::string> obsolete_;
    std::deque<Slice*> being_stored_;
    std::uint64_t version_ = 0;  // of what was stored last
    std::vector<std::unique_ptr<Slice>> expired_while_stored_;

    // Derived or scratch, not state.
    std::optional<SliceTree> tree_;
    MergedRows merged_;
    KeyOrder key_order_;
    std::vector<const std::byte*> fired_rows_;
    BatchCodes codes_;
    bool cache_rows_ = false;
    std::array<Route, 4> routes_;
    std::uint64_t uses_ = 0;
    PendingRows pending_;
};

}  // namespace llmopt_stream
