#include "window/merged_rows.hpp"

namespace llmopt_stream {

std::uint32_t MergedRows::find_or_create(KeyInterner::Code code) {
    if (const std::uint32_t slot = index_.find(code); slot != SlotIndex::kNone) {
        return slot;
    }
    codes_.push_back(code);
    rows_.push_back(nullptr);
    is_own_.push_back(false);
    return index_.add(code);
}

void MergedRows::merge(std::uint32_t slot, const std::byte* row) {
    std::byte*& merged = rows_[slot];
    if (merged == nullptr) {
        merged = const_cast<std::byte*>(row);
        return;
    }
    const MetricRow& layout = context_->row;
    if (!is_own_[slot]) {
        auto* const own = static_cast<std::byte*>(context_->pool.allocate(layout.bytes()));
        layout.create(own);
        layout.merge(own, merged, context_->pool);
        merged = own;
        is_own_[slot] = true;
    }
    layout.merge(merged, row, context_->pool);
}

void MergedRows::reset(std::uint32_t slot) noexcept {
    if (is_own_[slot]) {
        context_->row.destroy(rows_[slot], context_->pool);
        context_->pool.release(rows_[slot], context_->row.bytes());
        is_own_[slot] = false;
    }
    rows_[slot] = nullptr;
}

void MergedRows::clear() noexcept {
    for (std::uint32_t slot = 0; slot < size(); ++slot) {
        reset(slot);
    }
    index_.clear();
    codes_.clear();
    rows_.clear();
    is_own_.clear();
}

}  // namespace llmopt_stream
