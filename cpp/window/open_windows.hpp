#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "window/pane.hpp"
#include "window/slice_context.hpp"

namespace llmopt_stream {

/// One key's window: a row of aggregation state and what its trigger looks at.
struct OpenWindow {
    static constexpr std::uint32_t kNone = 0xFFFFFFFF;

    Interval span{0, 0};
    std::byte* row = nullptr;
    KeyInterner::Code code = 0;
    std::uint32_t older = kNone;  ///< the key's next window back in time
    std::uint32_t panes = 0;
    /// Distinguishes the uses of one place, for timers that outlive a window.
    std::uint32_t generation = 0;
    /// Records since the last firing, and when the first of them came, on the clock.
    std::uint64_t waiting = 0;
    Timestamp first_clock = kMaxTimestamp;
    /// Whether a firing has seen the watermark at the window's end as it is now.
    bool complete = false;
    /// The intervals of earlier panes that the next one supersedes (sessions).
    std::vector<Interval> standing;
};

/// The windows of all keys, each key's in a list from the newest back in time. A place
/// (index) is a window's until it is erased, then used again.
class OpenWindows {
public:
    using Place = std::uint32_t;
    static constexpr Place kNone = OpenWindow::kNone;

    explicit OpenWindows(SliceContext& context) : context_(&context) {}
    OpenWindows(const OpenWindows&) = delete;
    OpenWindows& operator=(const OpenWindows&) = delete;
    ~OpenWindows();

    [[nodiscard]] OpenWindow& operator[](Place place) noexcept { return windows_[place]; }
    [[nodiscard]] const OpenWindow& operator[](Place place) const noexcept { return windows_[place]; }
    /// The link to a key's newest window. Creating a window may move what it refers to.
    [[nodiscard]] Place& newest_of(KeyInterner::Code code) {
        if (code >= newest_.size()) {
            newest_.resize(std::size_t{code} + code / 2 + 1, kNone);
        }
        return newest_[code];
    }
    [[nodiscard]] Place newest_of(KeyInterner::Code code) const noexcept {
        return code < newest_.size() ? newest_[code] : kNone;
    }
    [[nodiscard]] std::size_t live() const noexcept { return live_; }

    /// A new, empty window in the key's list, before `older`, which is in the list or kNone.
    [[nodiscard]] Place create(KeyInterner::Code code, const Interval& span, Place older);
    /// Unlinks and frees it.
    void erase(Place place);
    /// Frees a window that the caller has unlinked.
    void free(Place place);
    void empty_row(Place place);

    /// Places of all windows, key by key, each key's newest first.
    [[nodiscard]] std::vector<Place> all() const;
    /// Sorts by end, then key, then start.
    void sort(std::vector<Place>& places) const;

private:
    SliceContext* context_;
    std::vector<OpenWindow> windows_;  // by place
    std::vector<Place> newest_;        // by code
    std::vector<Place> free_places_;
    std::size_t live_ = 0;
};

/// When to look at a window again; the earliest timer is on top. A timer may outlive what it
/// was set for, so whoever takes it looks whether its generation is still the window's.
class WindowTimers {
public:
    struct Timer {
        Timestamp time;
        OpenWindows::Place place;
        std::uint32_t generation;
    };

    void set(Timestamp time, OpenWindows::Place place, std::uint32_t generation);
    [[nodiscard]] bool any_due(Timestamp now) const noexcept {
        return !timers_.empty() && timers_.front().time <= now;
    }
    [[nodiscard]] Timestamp earliest() const noexcept { return timers_.front().time; }
    [[nodiscard]] Timer take();

private:
    std::vector<Timer> timers_;  // a heap
};

}  // namespace llmopt_stream
