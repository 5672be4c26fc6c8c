#include "window/key_order.hpp"

#include <algorithm>

namespace llmopt_stream {

std::span<const std::uint32_t> KeyOrder::slots_of(const MergedRows& rows) {
    const auto less = [&](std::uint32_t a, std::uint32_t b) {
        return keys_->less(rows.codes()[a], rows.codes()[b]);
    };
    // 1. The keys that the last rows had as well, in its order.
    slots_.clear();
    placed_.assign(rows.size(), false);
    for (const KeyInterner::Code code : codes_) {
        if (const std::uint32_t slot = rows.index().find(code); slot != SlotIndex::kNone) {
            slots_.push_back(slot);
            placed_[slot] = true;
        }
    }
    const auto known = static_cast<std::ptrdiff_t>(slots_.size());
    if (!std::is_sorted(slots_.begin(), slots_.end(), less)) {
        std::sort(slots_.begin(), slots_.end(), less);
    }
    // 2. The others, among them.
    for (std::uint32_t slot = 0; slots_.size() < rows.size(); ++slot) {
        if (!placed_[slot]) {
            slots_.push_back(slot);
        }
    }
    std::sort(slots_.begin() + known, slots_.end(), less);
    std::inplace_merge(slots_.begin(), slots_.begin() + known, slots_.end(), less);
    codes_.resize(slots_.size());
    std::transform(slots_.begin(), slots_.end(), codes_.begin(),
                   [&](std::uint32_t slot) { return rows.codes()[slot]; });
    return slots_;
}

}  // namespace llmopt_stream
