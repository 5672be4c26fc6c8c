#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <vector>

namespace llmopt_stream {

/// Memory for the small blocks that states grow into. Sizes are rounded up to classes at
/// most an eighth apart. Blocks lie in pages of one class each; a page whose blocks were all
/// released serves any class, so that outgrown buffers cost nothing in the long run, not even
/// where all states outgrow a class and none ever asks for it again.
/// Blocks are aligned to 16 bytes, those of a multiple of 64 bytes to 64. Not thread safe: one pool per
/// operator. What is still handed out when the pool is destroyed goes with it.
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
    /// At the start of a page, which is aligned to its size: so a block's page is found by its address.
    struct alignas(64) Page {
        /// Its neighbours among the pages of its class that have room.
        Page* previous;
        Page* next;
        FreeBlock* free;
        /// What has never been handed out.
        std::byte* fresh;
        std::byte* end;
        std::uint32_t used;
    };
    struct Arena {
        std::byte* begin;
        std::size_t alignment;
    };
    /// Pages of one size, for a range of classes.
    struct PageSource {
        std::size_t page_bytes;
        std::size_t next_arena;
        std::byte* fresh = nullptr;
        std::byte* end = nullptr;
        Page* empty = nullptr;
    };
    /// In front of a block beyond the largest class.
    struct alignas(kStep) LargeBlock {
        LargeBlock* previous;
        LargeBlock* next;
    };

    // Small pages, because one block that stays keeps all of its page; at least 14 blocks to a page.
    static constexpr std::size_t kLargestOfSmallPages = 1024;
    static constexpr std::size_t kSmallPage = std::size_t{16} << 10;
    static constexpr std::size_t kBigPage = std::size_t{256} << 10;
    static constexpr std::size_t kLargestArena = std::size_t{1} << 20;

    [[nodiscard]] PageSource& source_of(std::size_t bytes) noexcept {
        return bytes <= kLargestOfSmallPages ? small_pages_ : big_pages_;
    }
    [[nodiscard]] Page* add_page(std::size_t size_class);
    void link(Page* page, std::size_t size_class) noexcept;
    void unlink(Page* page, std::size_t size_class) noexcept;
    void free_arenas() noexcept;
    [[nodiscard]] void* allocate_large(std::size_t bytes);
    void release_large(void* block, std::size_t bytes) noexcept;

    /// Of each class, the pages that have room.
    std::array<Page*, kClasses> with_room_{};
    PageSource small_pages_{kSmallPage, 4 * kSmallPage};
    PageSource big_pages_{kBigPage, kBigPage};
    std::vector<Arena> arenas_;
    LargeBlock* large_ = nullptr;
    std::size_t allocated_bytes_ = 0;
    std::size_t reserved_bytes_ = 0;
};

}  // namespace llmopt_stream
