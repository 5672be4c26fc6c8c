#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "record/time.hpp"
#include "window/pane.hpp"
#include "window/slice_number.hpp"

namespace llmopt_stream {

/// Windows aligned to the epoch plus an offset, the same for every key; one ends every
/// `slide`. Sliding windows are of one size, and start every `slide`: with slide < size they
/// overlap, with slide > size there are gaps between them, with slide == size they tumble.
/// Cumulative windows share a start, one every `size`, and grow by `slide`.
/// A window is [start, end): an event on a boundary belongs to the later one.
/// Ends of the time range are held, never wrapped.
class AlignedWindowAssigner {
public:
    enum class Shape : std::uint8_t { kSliding, kCumulative };

    /// Throws Error(kConfiguration) unless size > 0, slide > 0 and |offset| < the distance of
    /// window starts; for cumulative windows slide must divide size.
    AlignedWindowAssigner(Duration size, Duration slide, Duration offset, Shape shape = Shape::kSliding);

    [[nodiscard]] Duration size() const noexcept { return size_; }
    [[nodiscard]] Duration slide() const noexcept { return slide_; }

    /// The smallest window end after t.
    [[nodiscard]] Timestamp next_end_after(Timestamp t) const noexcept {
        return add_saturating(t, slide_ - since_end(t));
    }
    /// The smallest window start after t.
    [[nodiscard]] Timestamp next_start_after(Timestamp t) const noexcept {
        return add_saturating(t, start_distance_ - since_start(t));
    }
    /// Whether any window contains t.
    [[nodiscard]] bool in_a_window(Timestamp t) const noexcept { return since_start(t) < size_; }
    /// The greatest end among the windows that contain t. Requires in_a_window(t).
    [[nodiscard]] Timestamp last_end_of(Timestamp t) const noexcept {
        return add_saturating(t, size_ - since_start(t));
    }
    /// The longest interval around t in which no window starts or ends.
    [[nodiscard]] Interval slice_of(Timestamp t) const noexcept {
        const Duration back = std::min(since_start(t), since_end(t));
        const Duration forth = std::min(start_distance_ - since_start(t), slide_ - since_end(t));
        return {add_saturating(t, -back), add_saturating(t, forth)};
    }
    /// Slices, those in gaps included, are numbered in time order; the number of the one
    /// that contains t.
    [[nodiscard]] SliceNumber slice_number_of(Timestamp t) const noexcept;
    /// The slices that begin in a window.
    [[nodiscard]] SliceRange slices_of(const Interval& window) const noexcept;
    /// How many slices the longest window has.
    [[nodiscard]] std::int64_t slices_per_window() const noexcept {
        return start_after_end_ == 0 ? size_ / slide_ : 2 * (size_ / slide_) + 1;
    }
    [[nodiscard]] Interval window_ending_at(Timestamp end) const noexcept {
        return {add_saturating(
                    end, -(shape_ == Shape::kSliding ? size_ : since_start(add_saturating(end, -1)) + 1)),
                end};
    }
    /// The windows that contain t, earliest first.
    [[nodiscard]] std::vector<Interval> windows_of(Timestamp t) const;

private:
    /// How long before t the latest window start lies.
    [[nodiscard]] Duration since_start(Timestamp t) const noexcept {
        return floor_mod(floor_mod(t, start_distance_) - start_phase_, start_distance_);
    }
    /// How long before t the latest window end lies, in [0, slide).
    [[nodiscard]] Duration since_end(Timestamp t) const noexcept {
        return floor_mod(floor_mod(t, slide_) - end_phase_, slide_);
    }

    Duration size_;
    Duration slide_;
    Shape shape_;
    Duration start_distance_;
    Duration start_phase_;
    Duration end_phase_;
    Duration start_after_end_;  // 0 where windows start and end together
};

}  // namespace llmopt_stream
