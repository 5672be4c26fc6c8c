#include "window/open_windows.hpp"

#include <algorithm>

namespace llmopt_stream {
namespace {

/// For std::push_heap, which keeps the greatest on top.
bool is_later(const WindowTimers::Timer& a, const WindowTimers::Timer& b) noexcept { return a.time > b.time; }

}  // namespace

OpenWindows::~OpenWindows() {
    for (const OpenWindow& window : windows_) {
        if (window.row != nullptr) {
            context_->row.destroy(window.row, context_->pool);
        }
    }
}

OpenWindows::Place OpenWindows::create(KeyInterner::Code code, const Interval& span, Place older) {
    Place place = 0;
    if (free_places_.empty()) {
        place = static_cast<Place>(windows_.size());
        windows_.emplace_back();
    } else {
        place = free_places_.back();
        free_places_.pop_back();
    }
    OpenWindow& window = windows_[place];
    window.span = span;
    window.row = static_cast<std::byte*>(context_->pool.allocate(context_->row.bytes()));
    context_->row.create(window.row);
    window.code = code;
    window.panes = 0;
    window.waiting = 0;
    window.first_clock = kMaxTimestamp;
    window.complete = false;
    context_->keys.hold(code);
    ++live_;
    Place* link = &newest_of(code);
    while (*link != older) {
        link = &windows_[*link].older;
    }
    window.older = older;
    *link = place;
    return place;
}

void OpenWindows::erase(Place place) {
    Place* link = &newest_of(windows_[place].code);
    while (*link != place) {
        link = &windows_[*link].older;
    }
    *link = windows_[place].older;
    free(place);
}

void OpenWindows::free(Place place) {
    OpenWindow& window = windows_[place];
    context_->row.destroy(window.row, context_->pool);
    context_->pool.release(window.row, context_->row.bytes());
    context_->keys.release(window.code);
    window.row = nullptr;
    window.standing.clear();
    window.standing.shrink_to_fit();
    ++window.generation;
    free_places_.push_back(place);
    --live_;
}

void OpenWindows::empty_row(Place place) {
    context_->row.destroy(windows_[place].row, context_->pool);
    context_->row.create(windows_[place].row);
}

std::vector<OpenWindows::Place> OpenWindows::all() const {
    std::vector<Place> places;
    for (const Place newest : newest_) {
        for (Place place = newest; place != kNone; place = windows_[place].older) {
            places.push_back(place);
        }
    }
    return places;
}

void OpenWindows::sort(std::vector<Place>& places) const {
    std::sort(places.begin(), places.end(), [&](Place a, Place b) {
        const OpenWindow& first = windows_[a];
        const OpenWindow& second = windows_[b];
        if (first.span.end != second.span.end) {
            return first.span.end < second.span.end;
        }
        return first.code != second.code ? context_->keys.less(first.code, second.code)
                                         : first.span.start < second.span.start;
    });
}

void WindowTimers::set(Timestamp time, OpenWindows::Place place, std::uint32_t generation) {
    timers_.push_back({time, place, generation});
    std::push_heap(timers_.begin(), timers_.end(), is_later);
}

WindowTimers::Timer WindowTimers::take() {
    std::pop_heap(timers_.begin(), timers_.end(), is_later);
    const Timer earliest = timers_.back();
    timers_.pop_back();
    return earliest;
}

}  // namespace llmopt_stream
