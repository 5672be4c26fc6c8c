#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

namespace llmopt_stream {

/// Bytes in order, read once. Decompression is a stream over another one.
class ByteStream {
public:
    virtual ~ByteStream() = default;
    /// Reads at least one byte into `into` and says how many; 0 at the end. Waits while a
    /// pipe is empty, but does not wait to fill `into`. Throws Error(kPipeline).
    [[nodiscard]] virtual std::size_t read(std::span<char> into) = 0;
    /// Waits a moment, at most kPatience, until read() would not wait; false if it still
    /// would, or if a signal came. So whoever reads an empty pipe can stop doing so.
    [[nodiscard]] virtual bool wait() { return true; }
    static constexpr std::chrono::milliseconds kPatience{50};
    /// Goes on behind the next `bytes` bytes. Throws Error(kPipeline) if there are fewer.
    virtual void skip(std::uint64_t bytes);
    /// 0 if unknown.
    [[nodiscard]] virtual std::uint64_t total_bytes() const noexcept { return 0; }
    /// How many of the total_bytes() were used for the first `delivered` bytes.
    [[nodiscard]] virtual std::uint64_t bytes_used(std::uint64_t delivered) const noexcept {
        return delivered;
    }
};

/// A file, or standard input for the path "-".
class FileByteStream final : public ByteStream {
public:
    /// Throws Error(kConfiguration) if the file is missing, unreadable or a directory.
    explicit FileByteStream(std::string path);
    ~FileByteStream() override;
    FileByteStream(const FileByteStream&) = delete;
    FileByteStream& operator=(const FileByteStream&) = delete;

    [[nodiscard]] std::size_t read(std::span<char> into) override;
    [[nodiscard]] bool wait() override;
    void skip(std::uint64_t bytes) override;
    [[nodiscard]] std::uint64_t total_bytes() const noexcept override { return total_bytes_; }

private:
    std::string path_;
    int descriptor_ = -1;
    bool may_have_to_wait_ = true;
    std::uint64_t total_bytes_ = 0;
};

/// Bytes in memory, which the caller keeps.
class MemoryByteStream final : public ByteStream {
public:
    explicit MemoryByteStream(std::string_view bytes) : rest_(bytes), total_bytes_(bytes.size()) {}

    [[nodiscard]] std::size_t read(std::span<char> into) override;
    [[nodiscard]] std::uint64_t total_bytes() const noexcept override { return total_bytes_; }

private:
    std::string_view rest_;
    std::uint64_t total_bytes_;
};

}  // namespace llmopt_stream
