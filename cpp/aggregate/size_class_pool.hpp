#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <memory>
#include <vector>

namespace llmopt_stream {

/// Memory for the small blocks that states grow into. Sizes are rounded up to classes at
/// most an eighth apart; a released block is reused for its class, so that outgrown
/// buffers cost nothing in the long run (a bump arena would keep every growth step).
/// Blocks are aligned to 16 bytes. Not thread safe: one pool per operator. What is
/// still handed out when the pool is destroyed goes with it.
class SizeClassPool {
public:
    SizeClassPool() = default;
    ~SizeClassPool();
    SizeClassPool(const SizeClassPool&) = delete;
    SizeClassPool& operator=(const SizeClassPool&) = delete;

    /// The bytes that a request really gets: its size class. The caller may use them all.
    [[nodiscard]] static constexpr std::size_t block_bytes(std::size_t bytes) noexcept {
        return bytes > kLargestClass ? bytes : class_bytes(class_of(bytes));
    }

    [[nodiscard]] void* allocate(std::size_t bytes);
    /// `bytes` as given to allocate(), or any size of the same class.
    void release(void* block, std::size_t bytes) noexcept;

    /// Gives all memory back to the system if nothing is handed out, otherwise nothing.
    void trim() noexcept;

    /// Handed out, in whole blocks.
    [[nodiscard]] std::size_t allocated_bytes() const noexcept { return allocated_bytes_; }
    /// Taken from the system.
    [[nodiscard]] std::size_t reserved_bytes() const noexcept { return reserved_bytes_; }

private:
    static constexpr std::size_t kStep = 16;
    static constexpr std::size_t kLinearLimit = 128;
    static constexpr std::size_t kLinearClasses = kLinearLimit / kStep;
    static constexpr std::size_t kLargestClass = 16384;
    static constexpr std::size_t kClasses = kLinearClasses + 8 * 7;
    static constexpr std::size_t kFirstChunk = std::size_t{64} << 10;
    static constexpr std::size_t kLargestChunk = std::size_t{1} << 20;

    // Steps of 16 up to 128, then eight classes to each doubling.
    [[nodiscard]] static constexpr std::size_t class_of(std::size_t bytes) noexcept {
        if (bytes <= kLinearLimit) {
            return bytes == 0 ? 0 : (bytes - 1) / kStep;
        }
        const std::size_t last = bytes - 1;
        const std::size_t octave = std::bit_width(last) - 8;  // 128..255 is octave 0
        return kLinearClasses + 8 * octave + ((last >> (octave + 4)) & 7);
    }
    [[nodiscard]] static constexpr std::size_t class_bytes(std::size_t size_class) noexcept {
        if (size_class < kLinearClasses) {
            return (size_class + 1) * kStep;
        }
        const std::size_t octave = (size_class - kLinearClasses) / 8;
        const std::size_t step = (size_class - kLinearClasses) % 8;
        return (9 + step) << (octave + 4);
    }

    struct FreeBlock {
        FreeBlock* next;
    };
    /// In front of a block beyond the largest class.
    struct alignas(kStep) LargeBlock {
        LargeBlock* previous;
        LargeBlock* next;
    };

    [[nodiscard]] void* carve(std::size_t bytes);
    [[nodiscard]] void* allocate_large(std::size_t bytes);
    void release_large(void* block, std::size_t bytes) noexcept;

    std::array<FreeBlock*, kClasses> free_{};
    std::vector<std::unique_ptr<std::byte[]>> chunks_;
    std::byte* next_ = nullptr;
    std::byte* end_ = nullptr;
    std::size_t next_chunk_ = kFirstChunk;
    LargeBlock* large_ = nullptr;
    std::size_t allocated_bytes_ = 0;
    std::size_t reserved_bytes_ = 0;
};

}  // namespace llmopt_stream
