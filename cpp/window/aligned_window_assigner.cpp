#include "window/aligned_window_assigner.hpp"

#include "record/error.hpp"

namespace llmopt_stream {

AlignedWindowAssigner::AlignedWindowAssigner(Duration size, Duration slide, Duration offset, Shape shape)
    : size_(size), slide_(slide), shape_(shape), start_distance_(shape == Shape::kSliding ? slide : size) {
    if (size <= 0 || slide <= 0) {
        throw Error(ErrorKind::kConfiguration, "window: size and slide must be positive");
    }
    if (shape == Shape::kCumulative && size % slide != 0) {
        throw Error(ErrorKind::kConfiguration, "window: a cumulative size must be a multiple of the step");
    }
    if (offset <= -start_distance_ || offset >= start_distance_) {
        throw Error(ErrorKind::kConfiguration,
                    "window: offset must be shorter than the distance of window starts");
    }
    start_phase_ = floor_mod(offset, start_distance_);
    end_phase_ = floor_mod(floor_mod(start_phase_, slide) + floor_mod(size, slide), slide);
    start_after_end_ = floor_mod(floor_mod(start_phase_, slide) - end_phase_, slide);
}

SliceNumber AlignedWindowAssigner::slice_number_of(Timestamp t) const noexcept {
    const SliceNumber ends = (SliceNumber{t} - since_end(t) - end_phase_) / slide_;
    return start_after_end_ == 0 ? ends : 2 * ends + (since_end(t) >= start_after_end_ ? 1 : 0);
}

SliceRange AlignedWindowAssigner::slices_of(const Interval& window) const noexcept {
    // At the ends of the time range a window may begin within a slice.
    const bool cut = slice_of(window.start).start < window.start;
    const Timestamp last = window.end == kMaxTimestamp ? kMaxTimestamp : window.end - 1;
    return {slice_number_of(window.start) + (cut ? 1 : 0), slice_number_of(last) + 1};
}

std::vector<Interval> AlignedWindowAssigner::windows_of(Timestamp t) const {
    std::vector<Interval> windows;
    if (!in_a_window(t)) {
        return windows;
    }
    const Timestamp last_end = last_end_of(t);
    for (Timestamp end = next_end_after(t);; end = add_saturating(end, slide_)) {
        windows.push_back(window_ending_at(end));
        if (end >= last_end) {
            return windows;
        }
    }
}

}  // namespace llmopt_stream
