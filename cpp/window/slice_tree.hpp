#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <vector>

#include "window/merged_rows.hpp"
#include "window/slice_number.hpp"
#include "window/slice_sequence.hpp"

namespace llmopt_stream {

/// Merged slices, so that a window of many slices merges few parts, about twice the logarithm of
/// their number. A node of level n holds the slices [i * 2^n, (i + 1) * 2^n): node 2i and then
/// node 2i + 1 of the level below, or at the lowest level its slices one by one.
///
/// Which nodes a window is made of, and in which order, depends on its slice numbers alone,
/// and a subtree without a key adds nothing to that key's sums. So results are a function of
/// the slices, not of when nodes were made: they are derived, and never persisted. A node is
/// made when a window first needs it, at most one merge for each slice and level; a record
/// that comes later invalidates its own key's rows only.
class SliceTree {
public:
    /// Windows of fewer slices are merged slice by slice: hardly slower, and without the memory.
    static constexpr std::int64_t kFewestSlices = 8;

    SliceTree(SliceContext& context, const SliceSequence& slices, std::int64_t slices_per_window);

    /// Merges the rows of the window of these slices, which stay valid until the tree or a slice
    /// changes, into empty ones.
    void merge(SliceRange window, MergedRows& into);
    /// The same for one key alone, into its slot.
    void merge(SliceRange window, KeyInterner::Code code, MergedRows& into, std::uint32_t slot);

    /// A record of this key is added to a slice that windows may have been merged from.
    void invalidate(SliceNumber slice, KeyInterner::Code code);
    /// Forgets what includes a slice before this one.
    void release_before(SliceNumber slice) noexcept;
    /// Forgets everything: rows are about to go.
    void release_all() noexcept {
        for (auto& nodes : levels_) {
            nodes.clear();
        }
    }

private:
    /// The level of the lowest nodes. Lower ones take memory and save no time.
    static constexpr int kLowest = 2;

    struct Node {
        explicit Node(SliceContext& context) : rows(context) {}

        MergedRows rows;
        // By slot: whether a slice below has changed since the row was merged. Then the rows of
        // this key in all nodes above are stale as well.
        std::vector<bool> stale;
        std::size_t stale_rows = 0;
    };
    /// A node, or a slice at level 0.
    struct Place {
        int level;
        SliceNumber index;
    };

    /// The places that a range is made of, higher levels first: what is large is merged into.
    [[nodiscard]] std::vector<Place> places_of(SliceRange range) const;
    [[nodiscard]] Node* find(Place place) noexcept;
    /// Where all that is below a place without a node lies, as far down as possible.
    [[nodiscard]] bool narrow(Place& place) const noexcept;
    /// Merges all rows at a place, brought up to date, into others.
    void merge_place(Place place, MergedRows& into);
    /// The row of a key at a place, up to date; nullptr if it has none.
    [[nodiscard]] const std::byte* row_at(Place place, KeyInterner::Code code);
    Node& make(Place place);
    void refresh(Place place, Node& node, std::uint32_t slot);
    /// Calls use with each place that a node is merged from.
    template <typename Use>
    void for_each_child(Place place, Use use) const;

    SliceContext* context_;
    const SliceSequence* slices_;
    std::vector<std::map<SliceNumber, Node>> levels_;  // from kLowest on
};

}  // namespace llmopt_stream
