#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "state/state_backend.hpp"
#include "state/stored_pieces.hpp"
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
        if (slot == SlotIndex::kNone) {
            return create(code);
        }
        if (being_stored_) [[unlikely]] {
            store_row(slot);
        }
        return row(slot);
    }
    void clear() noexcept;

    /// With its rows, or where they are stored.
    void encode(ByteWriter& out) const;
    void encode_stored(ByteWriter& out) const;
    /// Adds the rows whose keys are to be kept; the slice must have none of them. The span, which is
    /// encoded first, has been read by the caller. Returns the pieces that they were stored as, under names
    /// that begin with `prefix`.
    PieceRange decode(ByteReader& in, const std::string& prefix, const KeyFilter& keep);

    /// Records are about to be added: what is stored will not be all.
    void mark_changed() noexcept { changed_ = true; }
    [[nodiscard]] bool changed() const noexcept { return changed_; }
    /// As what it was stored last.
    [[nodiscard]] const PieceRange& stored() const noexcept { return stored_; }
    void set_stored(const PieceRange& stored) noexcept {
        stored_ = stored;
        changed_ = false;
    }
    /// The rows that there are now go into pieces, under names that begin with `prefix`: as they are now,
    /// while records go on. Whoever is about to change a row that was not encoded yet has it encoded first
    /// (copy on write).
    void begin_store(StateChanges& changes, const std::string& prefix, std::uint64_t version);
    /// Encodes rows until all are, and says so, or about `budget` bytes were written, which it takes off.
    bool store(std::size_t& budget);
    [[nodiscard]] bool being_stored() const noexcept { return being_stored_ != nullptr; }

    /// Of a slice that is stored as it is: leaves the rows where they are stored.
    void unload() noexcept;
    /// Brings the rows back.
    void load(const StoredPieces& pieces, const std::string& prefix);
    [[nodiscard]] bool is_loaded() const noexcept { return unloaded_rows_ == 0; }
    /// The same as encode(), of one that is not loaded.
    void encode_unloaded(ByteWriter& out, const StoredPieces& pieces, const std::string& prefix) const;
    /// Grows from use to use.
    std::uint64_t last_use = 0;
    /// The version that is in the backend for certain, and not on its way there.
    std::uint64_t spilled_version = 0;

private:
    /// See begin_store().
    struct Storing {
        StateChanges* changes;
        std::string prefix;
        std::vector<bool> done;  // by slot
        std::uint32_t next = 0;  // all before it are done
        std::uint64_t rows_in_piece = 0;
        ByteWriter piece;
    };

    [[nodiscard]] std::uint64_t rows() const noexcept { return is_loaded() ? size() : unloaded_rows_; }
    void begin_piece();
    void store_row(std::uint32_t slot);
    void encode_row(std::uint32_t slot, ByteWriter& out) const;
    void decode_rows(std::uint64_t rows, ByteReader& in, const KeyFilter& keep);
    void finish_piece();
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
    PieceRange stored_;
    std::uint64_t unloaded_rows_ = 0;
    bool changed_ = true;
    std::unique_ptr<Storing> being_stored_;
};

}  // namespace llmopt_stream
