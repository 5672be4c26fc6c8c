#include "window/slice.hpp"

#include <algorithm>

namespace llmopt_stream {
namespace {

// So many keys take as long as one comes from memory.
constexpr std::uint32_t kAhead = 16;
// Storing costs by the piece and by the byte; a piece that changed is stored whole.
constexpr std::size_t kPieceBytes = std::size_t{1} << 16;

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

void Slice::encode_row(std::uint32_t slot, ByteWriter& out) const {
    out.write_bytes(context_->keys.key(codes_[slot]));
    context_->row.encode(row(slot), out);
}

void Slice::encode(ByteWriter& out) const {
    out.write(span_.start);
    out.write(span_.end);
    out.write<std::uint64_t>(0);  // not stored apart
    out.write<std::uint64_t>(size());
    for (std::uint32_t slot = 0; slot < size(); ++slot) {
        encode_row(slot, out);
    }
}

void Slice::encode_stored(ByteWriter& out) const {
    out.write(span_.start);
    out.write(span_.end);
    out.write(stored_.version);
    out.write<std::uint64_t>(rows());
}

void Slice::begin_store(StateChanges& changes, const std::string& prefix, std::uint64_t version) {
    stored_ = {version, 0};
    changed_ = false;
    being_stored_ = std::make_unique<Storing>();
    being_stored_->changes = &changes;
    being_stored_->prefix = prefix;
    being_stored_->done.resize(size());
    begin_piece();
}

void Slice::begin_piece() {
    Storing& storing = *being_stored_;
    storing.rows_in_piece = 0;
    storing.piece = {};
    storing.piece.reserve(kPieceBytes + kPieceBytes / 8);
    storing.piece.write(storing.rows_in_piece);
}

bool Slice::store(std::size_t& budget) {
    Storing& storing = *being_stored_;
    while (storing.next < storing.done.size()) {
        if (budget == 0) {
            return false;
        }
        const std::size_t before = storing.piece.bytes().size();
        const std::uint32_t slot = storing.next++;
        const std::uint32_t last = static_cast<std::uint32_t>(storing.done.size()) - 1;
        __builtin_prefetch(row(std::min(slot + kAhead, last)));
        context_->keys.prefetch(codes_[std::min(slot + kAhead, last)]);
        context_->keys.prefetch_key(codes_[std::min(slot + kAhead / 2, last)]);
        if (storing.done[slot]) {
            continue;
        }
        encode_row(slot, storing.piece);
        ++storing.rows_in_piece;
        budget -= std::min(budget, storing.piece.bytes().size() - before);
        if (storing.piece.bytes().size() >= kPieceBytes) {
            finish_piece();
        }
    }
    if (storing.rows_in_piece != 0) {
        finish_piece();
    }
    being_stored_.reset();
    return true;
}

void Slice::store_row(std::uint32_t slot) {
    Storing& storing = *being_stored_;
    if (slot < storing.next || slot >= storing.done.size() || storing.done[slot]) {
        return;
    }
    storing.done[slot] = true;
    encode_row(slot, storing.piece);
    ++storing.rows_in_piece;
    if (storing.piece.bytes().size() >= kPieceBytes) {
        finish_piece();
    }
}

void Slice::finish_piece() {
    Storing& storing = *being_stored_;
    storing.piece.overwrite(0, storing.rows_in_piece);
    storing.changes->put(piece_name(storing.prefix, span_.start, stored_.version, stored_.pieces++),
                         storing.piece.take());
    begin_piece();
}

void Slice::unload() noexcept {
    unloaded_rows_ = size();
    clear();
}

void Slice::load(const StoredPieces& pieces, const std::string& prefix) {
    ByteWriter where;
    encode_stored(where);
    ByteReader in(where.bytes(), nullptr, &pieces);
    static_cast<void>(in.read<Timestamp>());
    static_cast<void>(in.read<Timestamp>());
    unloaded_rows_ = 0;
    static_cast<void>(decode(in, prefix, [](std::uint64_t) { return true; }));
}

void Slice::encode_unloaded(ByteWriter& out, const StoredPieces& pieces, const std::string& prefix) const {
    out.write(span_.start);
    out.write(span_.end);
    out.write<std::uint64_t>(0);
    out.write(unloaded_rows_);
    for (std::uint32_t piece = 0; piece < stored_.pieces; ++piece) {
        const std::string stored = pieces.get(piece_name(prefix, span_.start, stored_.version, piece));
        out.append(std::string_view(stored).substr(sizeof(std::uint64_t)));
    }
}

PieceRange Slice::decode(ByteReader& in, const std::string& prefix, const KeyFilter& keep) {
    const auto version = in.read<std::uint64_t>();
    if (version == 0) {
        decode_rows(in.read_count(sizeof(std::uint64_t)), in, keep);
        return {};
    }
    auto left = in.read<std::uint64_t>();
    if (in.pieces() == nullptr) {
        ByteReader::corrupt("it refers to pieces that are not there");
    }
    PieceRange stored{version, 0};
    while (left != 0) {
        const std::string piece = in.pieces()->get(piece_name(prefix, span_.start, version, stored.pieces++));
        ByteReader reader(piece);
        const auto rows = reader.read_count(sizeof(std::uint64_t));
        if (rows == 0 || rows > left) {
            ByteReader::corrupt("a piece has other rows than it should");
        }
        left -= rows;
        decode_rows(rows, reader, keep);
        if (reader.remaining() != 0) {
            ByteReader::corrupt("a piece has bytes left over");
        }
    }
    return stored;
}

void Slice::decode_rows(std::uint64_t rows, ByteReader& in, const KeyFilter& keep) {
    Slice skipped(*context_, span_);
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
