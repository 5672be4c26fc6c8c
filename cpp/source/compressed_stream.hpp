#pragma once

#include <memory>
#include <string>

#include "source/byte_stream.hpp"

namespace llmopt_stream {

/// How a file is compressed, as the end of its name says: ".gz", ".zst" or neither.
enum class Compression : std::uint8_t { kNone, kGzip, kZstd };

[[nodiscard]] Compression compression_of(std::string_view path) noexcept;

/// A stream of what `compressed` holds. Members of a gzip file and frames of a zstd file may
/// follow each other. read() throws Error(kPipeline), with `path` and the reason, on bytes that
/// are damaged or end too early.
[[nodiscard]] std::unique_ptr<ByteStream> decompress(std::unique_ptr<ByteStream> compressed,
                                                     Compression compression, std::string path);

/// The file's content, decompressed as its name says; standard input for "-". Throws
/// Error(kConfiguration) if it cannot be opened.
[[nodiscard]] std::unique_ptr<ByteStream> open_file(const std::string& path);

}  // namespace llmopt_stream
