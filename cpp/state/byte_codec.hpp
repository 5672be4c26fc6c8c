#pragma once

#include <bit>
#include <cstdint>
#include <cstring>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "record/error.hpp"
#include "state/stored_pieces.hpp"

namespace llmopt_stream {

static_assert(std::endian::native == std::endian::little, "persisted bytes are little endian");

/// What bytes refer to that are read back at once, in this process. Bytes that are kept refer to nothing.
using HeldObjects = std::vector<std::shared_ptr<void>>;

/// Appends values as little-endian bytes; ByteReader reads them back.
class ByteWriter {
public:
    ByteWriter() = default;
    /// With `held`, what has no bytes may be put there instead.
    explicit ByteWriter(HeldObjects* held) : held_(held) {}

    template <typename T>
        requires std::is_arithmetic_v<T>
    void write(T value) {
        char bytes[sizeof(T)];
        std::memcpy(bytes, &value, sizeof(T));
        bytes_.append(bytes, sizeof(T));
    }
    /// Several values, one behind the other.
    template <typename T>
        requires std::is_arithmetic_v<T>
    void write_all(std::span<const T> values) {
        bytes_.append(reinterpret_cast<const char*>(values.data()), values.size_bytes());
    }
    /// In the place of what was written at an offset.
    template <typename T>
        requires std::is_arithmetic_v<T>
    void overwrite(std::size_t offset, T value) {
        std::memcpy(bytes_.data() + offset, &value, sizeof(T));
    }
    /// What is encoded already.
    void append(std::string_view encoded) { bytes_.append(encoded); }
    void reserve(std::size_t bytes) { bytes_.reserve(bytes); }
    void write_bytes(std::string_view bytes) {
        write(static_cast<std::uint64_t>(bytes.size()));
        bytes_.append(bytes);
    }
    /// Null where the bytes must say everything.
    [[nodiscard]] HeldObjects* held() const noexcept { return held_; }
    [[nodiscard]] const std::string& bytes() const noexcept { return bytes_; }
    [[nodiscard]] std::string take() noexcept { return std::move(bytes_); }

private:
    std::string bytes_;
    HeldObjects* held_ = nullptr;
};

/// Reads what ByteWriter wrote. Every read is checked: bytes that end too early or
/// counts that cannot be true throw Error(kCheckpoint).
class ByteReader {
public:
    explicit ByteReader(std::string_view bytes, const HeldObjects* held = nullptr,
                        const StoredPieces* pieces = nullptr)
        : bytes_(bytes), held_(held), pieces_(pieces) {}

    template <typename T>
        requires std::is_arithmetic_v<T>
    [[nodiscard]] T read() {
        require(sizeof(T));
        T value;
        std::memcpy(&value, bytes_.data(), sizeof(T));
        bytes_.remove_prefix(sizeof(T));
        return value;
    }
    [[nodiscard]] std::string_view read_bytes() {
        const auto size = read<std::uint64_t>();
        require(size);
        const std::string_view value = bytes_.substr(0, size);
        bytes_.remove_prefix(size);
        return value;
    }
    /// A count of items that take at least `item_bytes` bytes each; refuses one that
    /// the remaining bytes cannot hold, so that corrupt counts allocate nothing.
    [[nodiscard]] std::uint64_t read_count(std::size_t item_bytes) {
        const auto count = read<std::uint64_t>();
        if (item_bytes != 0 && count > bytes_.size() / item_bytes) {
            corrupt("a count exceeds the remaining bytes");
        }
        return count;
    }
    /// One of the objects that the writer put there, by its place among them.
    [[nodiscard]] const std::shared_ptr<void>& read_held() {
        const auto place = read<std::uint64_t>();
        if (held_ == nullptr || place >= held_->size()) {
            corrupt("it refers to what is not there");
        }
        return (*held_)[place];
    }
    /// Null where the bytes say everything.
    [[nodiscard]] const HeldObjects* held() const noexcept { return held_; }
    /// Null where no piece is stored apart.
    [[nodiscard]] const StoredPieces* pieces() const noexcept { return pieces_; }
    [[nodiscard]] std::size_t remaining() const noexcept { return bytes_.size(); }
    [[noreturn]] static void corrupt(const char* what) {
        throw Error(ErrorKind::kCheckpoint, std::string("snapshot is corrupt: ") + what);
    }

private:
    void require(std::size_t size) const {
        if (bytes_.size() < size) {
            corrupt("it ends too early");
        }
    }

    std::string_view bytes_;
    const HeldObjects* held_;
    const StoredPieces* pieces_;
};

}  // namespace llmopt_stream
