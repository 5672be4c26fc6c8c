#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "source/byte_stream.hpp"
#include "source/ndjson_chunk.hpp"

namespace llmopt_stream {

/// Reads newline-delimited JSON: lines end with "\n" or "\r\n", the last one may end with
/// the input, blank lines are no records, a UTF-8 byte order mark at the start is skipped.
/// How the input is cut into chunks changes no record. A line beyond the record limit is
/// one record, Malformed::kTooLarge, and is never in memory as a whole.
class NdjsonReader {
public:
    static constexpr std::size_t kDefaultChunkBytes = std::size_t{1} << 18;

    /// A file, decompressed as its name says, or standard input for "-". Throws Error(kConfiguration) if it
    /// cannot be opened.
    explicit NdjsonReader(const std::string& path, std::size_t chunk_bytes = kDefaultChunkBytes,
                          std::size_t max_record_bytes = kMaxRecordBytes);
    explicit NdjsonReader(std::unique_ptr<ByteStream> stream, std::size_t chunk_bytes = kDefaultChunkBytes,
                          std::size_t max_record_bytes = kMaxRecordBytes);

    /// Decodes the next records into `builder`, which is cleared first; false at the end of
    /// the input. True with an empty batch means that a pipe has nothing yet (see
    /// ByteStream::wait). Throws Error(kPipeline) if the input cannot be read. Requires
    /// max_records > 0.
    bool next(JsonDecoder& decoder, BatchBuilder& builder,
              std::size_t max_records = NdjsonChunk::kMaxBatchRecords);

    /// Whether record() will be asked for. Takes effect with the next batch.
    void set_keep_records(bool keep) noexcept { chunk_.set_keep_records(keep); }
    /// The bytes of a record of the last batch, see NdjsonChunk::record(). Valid until next().
    [[nodiscard]] std::string_view record(std::size_t input_index) const noexcept {
        return chunk_.record(input_index);
    }

    /// For decoding in several threads: fills a chunk with the next lines; false at the end of
    /// the input. The chunk is empty where a pipe has nothing yet. Not to be mixed with next().
    bool read_chunk(NdjsonChunk& chunk);

    /// Where the first record that was not decoded yet begins, in the decompressed bytes; never in the middle
    /// of a line. A reader of the same input goes on there after seek().
    [[nodiscard]] std::uint64_t offset() const noexcept {
        const std::uint64_t lines_end =
            in_oversized_line_ ? oversized_line_at_ : bytes_read_ - partial_line_.size();
        return lines_end - chunk_.rest().size();
    }
    /// Before anything was read.
    void seek(std::uint64_t offset);

    /// Of total_bytes(): for compressed input the compressed ones.
    [[nodiscard]] std::uint64_t bytes_read() const noexcept { return stream_->bytes_used(bytes_read_); }
    /// 0 if unknown.
    [[nodiscard]] std::uint64_t total_bytes() const noexcept { return stream_->total_bytes(); }

private:
    /// False if the stream has nothing yet.
    [[nodiscard]] bool read_more(NdjsonChunk& chunk);

    std::unique_ptr<ByteStream> stream_;
    std::size_t chunk_bytes_;
    std::size_t max_record_bytes_;
    NdjsonChunk chunk_;
    std::string partial_line_;
    bool in_oversized_line_ = false;
    std::uint64_t oversized_line_at_ = 0;
    bool at_start_ = true;
    bool at_end_ = false;
    bool nothing_yet_ = false;
    std::uint64_t bytes_read_ = 0;
};

}  // namespace llmopt_stream
