#include "window/slice.hpp"

#include <algorithm>

namespace llmopt_stream {
namespace {

// So many keys take as long as one comes from memory.
constexpr std::uint32_t kAhead = 16;

}  // namespace

std::byte* Slice::create(KeyInterner::Code code) {
    const std::uint32_t slot = index_.add(code);
    codes_.push_back(code);
    context_->keys.hold(code);
    const std::size_t capacity = chunks_.size() <= kGrowingChunks
                                     ? kFirstChunk * ((std::size_t{1} << chunks_.size()) - 1)
                                     : kFirstChunk * ((std::size_t{1} << kGrowingChunks) - 1) +
                                           (chunks_.size() - kGrowingChunks) * kFullChunk;
    if (slot == capacity) {
        chunks_.push_back(static_cast<std::byte*>(context_->pool.allocate(chunk_bytes(chunks_.size()))));
    }
    std::byte* const created = row(slot);
    context_->row.create(created);
    return created;
}

void Slice::clear() noexcept {
    for (std::uint32_t slot = 0; slot < size(); ++slot) {
        context_->row.destroy(row(slot), context_->pool);
        context_->keys.prefetch(codes_[std::min(slot + kAhead, size() - 1)]);
        context_->keys.release(codes_[slot]);
    }
    for (std::size_t chunk = 0; chunk < chunks_.size(); ++chunk) {
        context_->pool.release(chunks_[chunk], chunk_bytes(chunk));
    }
    index_.clear();
    codes_.clear();
    chunks_.clear();
}

void Slice::encode(ByteWriter& out) const {
    out.write(span_.start);
    out.write(span_.end);
    out.write<std::uint64_t>(size());
    for (std::uint32_t slot = 0; slot < size(); ++slot) {
        out.write_bytes(context_->keys.key(codes_[slot]));
        context_->row.encode(row(slot), out);
    }
}

void Slice::decode(ByteReader& in, const KeyFilter& keep) {
    Slice skipped(*context_, span_);
    const std::uint64_t rows = in.read_count(sizeof(std::uint64_t));
    for (std::uint64_t at = 0; at < rows; ++at) {
        const std::string_view key = in.read_bytes();
        const std::uint64_t hash = hash_key(key);
        Slice& target = keep(hash) ? *this : skipped;
        const KeyInterner::Code code = context_->keys.intern(key, hash);
        if (target.find(code) != nullptr) {
            ByteReader::corrupt("a key occurs twice in a slice");
        }
        context_->row.decode(target.create(code), in, context_->pool);
    }
}

}  // namespace llmopt_stream
