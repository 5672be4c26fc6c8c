#include "source/ndjson_reader.hpp"

#include <algorithm>
#include <utility>

#include "source/compressed_stream.hpp"

namespace llmopt_stream {
namespace {

constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";

}  // namespace

NdjsonReader::NdjsonReader(const std::string& path, std::size_t chunk_bytes, std::size_t max_record_bytes)
    : NdjsonReader(open_file(path), chunk_bytes, max_record_bytes) {}

NdjsonReader::NdjsonReader(std::unique_ptr<ByteStream> stream, std::size_t chunk_bytes,
                           std::size_t max_record_bytes)
    : stream_(std::move(stream)),
      chunk_bytes_(std::max<std::size_t>(chunk_bytes, 1)),
      max_record_bytes_(max_record_bytes) {}

bool NdjsonReader::next(JsonDecoder& decoder, BatchBuilder& builder, std::size_t max_records) {
    // A chunk may have nothing but blank lines.
    while (!chunk_.decode(decoder, builder, max_records)) {
        if (!read_chunk(chunk_)) {
            return false;
        }
        if (nothing_yet_) {
            return true;
        }
    }
    return true;
}

void NdjsonReader::seek(std::uint64_t offset) {
    stream_->skip(offset);
    bytes_read_ = offset;
    at_start_ = offset == 0;
}

bool NdjsonReader::read_more(NdjsonChunk& chunk) {
    nothing_yet_ = !stream_->wait();
    if (nothing_yet_) {
        return false;
    }
    const std::size_t needed = chunk.end_ + chunk_bytes_ + kJsonPadding;
    if (chunk.buffer_.size() < needed) {
        // Doubling, because a long line comes here once per chunk_bytes_ of it.
        chunk.buffer_.resize(std::max(needed, 2 * chunk.buffer_.size()));
    }
    const std::size_t bytes = stream_->read({chunk.buffer_.data() + chunk.end_, chunk_bytes_});
    bytes_read_ += bytes;
    at_end_ = bytes == 0;
    chunk.end_ += bytes;
    return true;
}

bool NdjsonReader::read_chunk(NdjsonChunk& chunk) {
    chunk.records_.clear();
    chunk.begin_ = 0;
    chunk.end_ = 0;
    chunk.oversized_record_first_ = false;
    nothing_yet_ = false;
    if (at_end_) {
        return false;
    }

    // 1. The rest of a line that is too long: drop it.
    while (in_oversized_line_) {
        chunk.end_ = 0;
        if (!read_more(chunk)) {
            return true;
        }
        const std::size_t newline = chunk.rest().find('\n');
        if (at_end_ || newline != std::string_view::npos) {
            in_oversized_line_ = false;
            chunk.oversized_record_first_ = true;
            chunk.begin_ = at_end_ ? 0 : newline + 1;
        }
    }

    // 2. The start of a line that the last chunk ended with.
    if (!partial_line_.empty()) {
        chunk.buffer_.resize(std::max(chunk.buffer_.size(), partial_line_.size() + kJsonPadding));
        chunk.end_ = partial_line_.copy(chunk.buffer_.data(), partial_line_.size());
        partial_line_.clear();
    }

    // 3. At least one line, or all that is left of the input.
    // A line within the limit may still have a byte order mark before it and "\r" behind it.
    const std::size_t longest_line = kByteOrderMark.size() + max_record_bytes_ + 1;
    std::size_t last_newline = chunk.rest().rfind('\n');
    while (last_newline == std::string_view::npos && !at_end_ && chunk.rest().size() <= longest_line) {
        const std::size_t searched = chunk.rest().size();
        if (!read_more(chunk)) {
            partial_line_ = chunk.rest();
            chunk.end_ = chunk.begin_;
            return true;
        }
        last_newline = chunk.rest().substr(searched).rfind('\n');
        if (last_newline != std::string_view::npos) {
            last_newline += searched;
        }
    }

    // 4. What follows the last newline is for the next chunk.
    if (!at_end_) {
        const std::size_t lines_end = last_newline == std::string_view::npos ? 0 : last_newline + 1;
        const std::string_view partial = chunk.rest().substr(lines_end);
        if (partial.size() > longest_line) {
            in_oversized_line_ = true;
            oversized_line_at_ = bytes_read_ - partial.size();
        } else {
            partial_line_ = partial;
        }
        chunk.end_ = chunk.begin_ + lines_end;
    }
    if (at_start_ && chunk.rest().starts_with(kByteOrderMark)) {
        chunk.begin_ += kByteOrderMark.size();
    }
    at_start_ = false;
    return true;
}

}  // namespace llmopt_stream
