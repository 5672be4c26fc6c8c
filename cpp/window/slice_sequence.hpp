#pragma once

#include <algorithm>
#include <cstddef>
#include <deque>
#include <memory>
#include <span>
#include <utility>

#include "window/slice.hpp"
#include "window/slice_number.hpp"

namespace llmopt_stream {

/// The slices that have records, in time order.
class SliceSequence {
public:
    struct Numbered {
        SliceNumber number;
        std::unique_ptr<Slice> slice;
    };
    using Iterator = std::deque<Numbered>::const_iterator;

    explicit SliceSequence(SliceContext& context) : context_(&context) {}

    [[nodiscard]] bool empty() const noexcept { return slices_.empty(); }
    [[nodiscard]] std::size_t size() const noexcept { return slices_.size(); }
    [[nodiscard]] const Numbered& front() const noexcept { return slices_.front(); }
    [[nodiscard]] Iterator begin() const noexcept { return slices_.begin(); }
    [[nodiscard]] Iterator end() const noexcept { return slices_.end(); }
    /// The first one that is not before `number`.
    [[nodiscard]] Iterator from(SliceNumber number) const noexcept {
        return std::lower_bound(begin(), end(), number, precedes);
    }

    [[nodiscard]] Slice& find_or_create(SliceNumber number, const Interval& span) {
        const auto at = std::lower_bound(slices_.begin(), slices_.end(), number, precedes);
        if (at != slices_.end() && at->number == number) {
            return *at->slice;
        }
        return *slices_.insert(at, Numbered{number, std::make_unique<Slice>(*context_, span)})->slice;
    }
    [[nodiscard]] std::unique_ptr<Slice> take_front() {
        std::unique_ptr<Slice> slice = std::move(slices_.front().slice);
        slices_.pop_front();
        return slice;
    }
    void erase_empty() {
        std::erase_if(
            slices_, [](const Numbered& each) { return each.slice->size() == 0 && each.slice->is_loaded(); });
    }

private:
    [[nodiscard]] static bool precedes(const Numbered& each, SliceNumber number) noexcept {
        return each.number < number;
    }

    SliceContext* context_;
    std::deque<Numbered> slices_;
};

}  // namespace llmopt_stream
