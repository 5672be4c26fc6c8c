#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "window/slice.hpp"

namespace llmopt_stream {

/// For each key the merge of the rows that were given for it, in the order given. A key's
/// only row is not copied but referred to: most keys of many may have no more. So all
/// rows, and with them the codes of their keys, must outlive it.
class MergedRows {
public:
    explicit MergedRows(SliceContext& context) : context_(&context) {}
    MergedRows(const MergedRows&) = delete;
    MergedRows& operator=(const MergedRows&) = delete;
    ~MergedRows() { clear(); }

    [[nodiscard]] std::uint32_t size() const noexcept { return index_.size(); }
    [[nodiscard]] const SlotIndex& index() const noexcept { return index_; }
    [[nodiscard]] const std::vector<KeyInterner::Code>& codes() const noexcept { return codes_; }
    [[nodiscard]] const std::byte* row(std::uint32_t slot) const noexcept { return rows_[slot]; }

    /// The slot of this key, without a row if it is new.
    std::uint32_t find_or_create(KeyInterner::Code code);
    void merge(std::uint32_t slot, const std::byte* row);
    /// Every row of a Slice or of another MergedRows.
    template <typename Rows>
    void merge(const Rows& rows) {
        for (std::uint32_t slot = 0; slot < rows.size(); ++slot) {
            merge(find_or_create(rows.codes()[slot]), rows.row(slot));
        }
    }
    /// Leaves the key without a row.
    void reset(std::uint32_t slot) noexcept;
    void clear() noexcept;

private:
    SliceContext* context_;
    SlotIndex index_;
    // By slot.
    std::vector<KeyInterner::Code> codes_;
    std::vector<std::byte*> rows_;
    std::vector<bool> is_own_;  // or else referred to, and never changed
};

}  // namespace llmopt_stream
