#include "source/compressed_stream.hpp"

#include <zlib.h>
#include <zstd.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "record/error.hpp"

namespace llmopt_stream {
namespace {

constexpr std::size_t kInputBytes = std::size_t{1} << 17;

/// What both formats share: the compressed bytes in hand.
class DecompressingStream : public ByteStream {
public:
    DecompressingStream(std::unique_ptr<ByteStream> compressed, std::string path)
        : compressed_(std::move(compressed)), path_(std::move(path)), input_(kInputBytes) {}

    [[nodiscard]] bool wait() override { return may_hold_more_ || begin_ != end_ || compressed_->wait(); }
    [[nodiscard]] std::uint64_t total_bytes() const noexcept override { return compressed_->total_bytes(); }
    [[nodiscard]] std::uint64_t bytes_used(std::uint64_t) const noexcept override {
        return compressed_->bytes_used(taken_ - (end_ - begin_));
    }

    [[nodiscard]] std::size_t read(std::span<char> into) final {
        for (;;) {
            if (begin_ == end_ && !may_hold_more_) {
                begin_ = 0;
                end_ = compressed_->read(input_);
                taken_ += end_;
                if (end_ == 0) {
                    if (inside_) {
                        fail("the file ends too early");
                    }
                    return 0;
                }
            }
            const Step step = decompress_some(rest(), into);
            begin_ += step.taken;
            may_hold_more_ = step.given == into.size();
            if (step.taken != 0 || step.given != 0) {
                inside_ = step.inside;
            }
            // Nothing may come for a while: headers, or an input that is not enough yet.
            if (step.given != 0) {
                return step.given;
            }
        }
    }

protected:
    struct Step {
        std::size_t taken;
        std::size_t given;
        /// Whether a member or frame has begun and not ended.
        bool inside;
    };
    [[nodiscard]] virtual Step decompress_some(std::span<char> from, std::span<char> into) = 0;

    [[noreturn]] void fail(const char* reason) const {
        throw Error(ErrorKind::kPipeline,
                    "FileSource: path '" + path_ + "': cannot be decompressed: " + reason);
    }

private:
    [[nodiscard]] std::span<char> rest() noexcept { return std::span(input_).subspan(begin_, end_ - begin_); }

    std::unique_ptr<ByteStream> compressed_;
    std::string path_;
    std::vector<char> input_;
    std::size_t begin_ = 0;
    std::size_t end_ = 0;
    std::uint64_t taken_ = 0;
    bool inside_ = false;
    /// The last output was all that there was room for.
    bool may_hold_more_ = false;
};

class GzipStream final : public DecompressingStream {
public:
    GzipStream(std::unique_ptr<ByteStream> compressed, std::string path)
        : DecompressingStream(std::move(compressed), std::move(path)) {
        constexpr int kGzipWithLargestWindow = 16 + MAX_WBITS;
        if (inflateInit2(&state_, kGzipWithLargestWindow) != Z_OK) {
            fail("zlib has no memory");
        }
    }
    ~GzipStream() override { inflateEnd(&state_); }
    GzipStream(const GzipStream&) = delete;
    GzipStream& operator=(const GzipStream&) = delete;

private:
    [[nodiscard]] Step decompress_some(std::span<char> from, std::span<char> into) override {
        const std::size_t room = std::min<std::size_t>(into.size(), std::size_t{1} << 30U);
        state_.next_in = reinterpret_cast<Bytef*>(from.data());
        state_.avail_in = static_cast<uInt>(from.size());
        state_.next_out = reinterpret_cast<Bytef*>(into.data());
        state_.avail_out = static_cast<uInt>(room);
        const int status = inflate(&state_, Z_NO_FLUSH);
        if (status != Z_OK && status != Z_STREAM_END && status != Z_BUF_ERROR) {
            fail(state_.msg == nullptr ? "it is no gzip file" : state_.msg);
        }
        const Step step{from.size() - state_.avail_in, room - state_.avail_out, status != Z_STREAM_END};
        if (status == Z_STREAM_END) {
            inflateReset(&state_);
        }
        return step;
    }

    z_stream state_{};
};

class ZstdStream final : public DecompressingStream {
public:
    ZstdStream(std::unique_ptr<ByteStream> compressed, std::string path)
        : DecompressingStream(std::move(compressed), std::move(path)),
          state_(ZSTD_createDStream(), &ZSTD_freeDStream) {
        if (state_ == nullptr) {
            fail("zstd has no memory");
        }
    }

private:
    [[nodiscard]] Step decompress_some(std::span<char> from, std::span<char> into) override {
        ZSTD_inBuffer in{from.data(), from.size(), 0};
        ZSTD_outBuffer out{into.data(), into.size(), 0};
        const std::size_t status = ZSTD_decompressStream(state_.get(), &out, &in);
        if (ZSTD_isError(status) != 0) {
            fail(ZSTD_getErrorName(status));
        }
        return {in.pos, out.pos, status != 0};
    }

    std::unique_ptr<ZSTD_DStream, decltype(&ZSTD_freeDStream)> state_;
};

}  // namespace

Compression compression_of(std::string_view path) noexcept {
    return path.ends_with(".gz")    ? Compression::kGzip
           : path.ends_with(".zst") ? Compression::kZstd
                                    : Compression::kNone;
}

std::unique_ptr<ByteStream> decompress(std::unique_ptr<ByteStream> compressed, Compression compression,
                                       std::string path) {
    switch (compression) {
        case Compression::kGzip: return std::make_unique<GzipStream>(std::move(compressed), std::move(path));
        case Compression::kZstd: return std::make_unique<ZstdStream>(std::move(compressed), std::move(path));
        default: return compressed;
    }
}

std::unique_ptr<ByteStream> open_file(const std::string& path) {
    return decompress(std::make_unique<FileByteStream>(path), compression_of(path), path);
}

}  // namespace llmopt_stream
