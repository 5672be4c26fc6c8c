#include "source/compressed_stream.hpp"

#include <gtest/gtest.h>
#include <zlib.h>
#include <zstd.h>

#include <string>
#include <vector>

#include "record/error.hpp"

namespace llmopt_stream {
namespace {

std::string gzip(std::string content) {
    z_stream state{};
    EXPECT_EQ(deflateInit2(&state, 6, Z_DEFLATED, 16 + MAX_WBITS, 8, Z_DEFAULT_STRATEGY), Z_OK);
    std::string out(deflateBound(&state, content.size()), '\0');
    state.next_in = reinterpret_cast<Bytef*>(content.data());
    state.avail_in = static_cast<uInt>(content.size());
    state.next_out = reinterpret_cast<Bytef*>(out.data());
    state.avail_out = static_cast<uInt>(out.size());
    EXPECT_EQ(deflate(&state, Z_FINISH), Z_STREAM_END);
    out.resize(state.total_out);
    deflateEnd(&state);
    return out;
}

std::string zstd(const std::string& content) {
    std::string out(ZSTD_compressBound(content.size()), '\0');
    out.resize(ZSTD_compress(out.data(), out.size(), content.data(), content.size(), 3));
    return out;
}

std::string read_all(std::string_view bytes, Compression compression, std::size_t room = 1 << 16) {
    const auto stream = decompress(std::make_unique<MemoryByteStream>(bytes), compression, "x");
    std::string content;
    std::vector<char> buffer(room);
    while (const std::size_t read = stream->read(buffer)) {
        content.append(buffer.data(), read);
    }
    EXPECT_EQ(stream->bytes_used(content.size()), bytes.size());
    EXPECT_EQ(stream->total_bytes(), bytes.size());
    return content;
}

std::string lines(int count) {
    std::string text;
    for (int line = 0; line < count; ++line) {
        text += "line " + std::to_string(line) + "\n";
    }
    return text;
}

TEST(CompressedStream, TheNameSaysHowAFileIsCompressed) {
    EXPECT_EQ(compression_of("a.ndjson.gz"), Compression::kGzip);
    EXPECT_EQ(compression_of("a.zst"), Compression::kZstd);
    EXPECT_EQ(compression_of("gz"), Compression::kNone);
}

TEST(CompressedStream, MembersAndFramesFollowEachOther) {
    const std::string content = lines(50'000);
    EXPECT_EQ(read_all(gzip(content) + gzip("more\n"), Compression::kGzip), content + "more\n");
    EXPECT_EQ(read_all(zstd(content) + zstd("more\n"), Compression::kZstd), content + "more\n");
}

TEST(CompressedStream, ReadsOfAnySizeGiveTheSameBytes) {
    const std::string content = lines(300);
    for (std::size_t room = 1; room < 40; ++room) {
        EXPECT_EQ(read_all(gzip(content), Compression::kGzip, room), content) << room;
        EXPECT_EQ(read_all(zstd(content), Compression::kZstd, room), content) << room;
    }
    // The whole content at once: the decoder is left without input exactly at the end of the room.
    EXPECT_EQ(read_all(gzip(content), Compression::kGzip, content.size()), content);
    EXPECT_EQ(read_all(zstd(content), Compression::kZstd, content.size()), content);
}

TEST(CompressedStream, AnEmptyFileIsAnEmptyStream) {
    EXPECT_EQ(read_all("", Compression::kGzip), "");
    EXPECT_EQ(read_all("", Compression::kZstd), "");
    EXPECT_EQ(read_all(gzip(""), Compression::kGzip), "");
}

TEST(CompressedStream, DamagedAndTruncatedFilesAreErrors) {
    for (const Compression compression : {Compression::kGzip, Compression::kZstd}) {
        std::string bytes = compression == Compression::kGzip ? gzip(lines(1000)) : zstd(lines(1000));
        for (const std::size_t size : {std::size_t{1}, bytes.size() / 2, bytes.size() - 1}) {
            EXPECT_THROW(read_all(std::string_view(bytes).substr(0, size), compression), Error) << size;
        }
        EXPECT_THROW(read_all("no compressed file", compression), Error);
        bytes[bytes.size() / 2] ^= 0x20;
        if (compression == Compression::kGzip) {  // zstd's checksum is optional, gzip's is not
            EXPECT_THROW(read_all(bytes, compression), Error);
        }
    }
}

}  // namespace
}  // namespace llmopt_stream
