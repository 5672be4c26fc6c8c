#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "window/pane.hpp"
#include "window/slice_context.hpp"
#include "window/slot_index.hpp"

namespace llmopt_stream {

/// A row of aggregation state for each key that has records in one stretch of time. Slices
/// are the shared pieces from which windows are merged (Traub et al., "Scotty", EDBT 2019).
/// It holds the codes of its keys.
class Slice {
public:
    Slice(SliceContext& context, Interval span) : context_(&context), span_(span) {}
    Slice(const Slice&) = delete;
    Slice& operator=(const Slice&) = delete;
    ~Slice() { clear(); }

    [[nodiscard]] const Interval& span() const noexcept { return span_; }
    [[nodiscard]] std::uint32_t size() const noexcept { return index_.size(); }
    [[nodiscard]] const std::vector<KeyInterner::Code>& codes() const noexcept { return codes_; }
    [[nodiscard]] std::byte* row(std::uint32_t slot) const noexcept {
        const auto chunk = static_cast<std::uint32_t>(std::bit_width(slot / kFirstChunk + 1)) - 1;
        if (chunk < kGrowingChunks) {
            return chunks_[chunk] + (slot - kFirstChunk * ((1U << chunk) - 1)) * context_->row.bytes();
        }
        const std::uint32_t beyond = slot - kFirstChunk * ((1U << kGrowingChunks) - 1);
        return chunks_[kGrowingChunks + beyond / kFullChunk] + (beyond % kFullChunk) * context_->row.bytes();
    }
    [[nodiscard]] const SlotIndex& index() const noexcept { return index_; }
    /// The row of this key, or nullptr. Rows stay where they are until clear().
    [[nodiscard]] std::byte* find(KeyInterner::Code code) const noexcept {
        const std::uint32_t slot = index_.find(code);
        return slot == SlotIndex::kNone ? nullptr : row(slot);
    }
    /// Of what find() is about to read besides the row.
    void prefetch(KeyInterner::Code code) const noexcept { index_.prefetch(code); }
    [[nodiscard]] std::byte* find_or_create(KeyInterner::Code code) {
        const std::uint32_t slot = index_.find(code);
        return slot == SlotIndex::kNone ? create(code) : row(slot);
    }
    void clear() noexcept;

    void encode(ByteWriter& out) const;
    /// Adds the rows whose keys are to be kept; the slice must have none of them. The span, which
    /// encode() writes first, has been read by the caller.
    void decode(ByteReader& in, const KeyFilter& keep);

private:
    static constexpr std::uint32_t kFirstChunk = 4;
    static constexpr std::uint32_t kGrowingChunks = 5;
    static constexpr std::uint32_t kFullChunk = kFirstChunk << (kGrowingChunks - 1);

    [[nodiscard]] std::byte* create(KeyInterner::Code code);
    [[nodiscard]] std::size_t chunk_bytes(std::size_t chunk) const noexcept {
        const std::uint32_t rows = chunk < kGrowingChunks ? kFirstChunk << chunk : kFullChunk;
        return rows * context_->row.bytes();
    }

    SliceContext* context_;
    Interval span_;
    SlotIndex index_;
    std::vector<KeyInterner::Code> codes_;  // by slot
    std::vector<std::byte*> chunks_;        // 4, 8, 16, 32, 64, 64, … rows
};

}  // namespace llmopt_stream
