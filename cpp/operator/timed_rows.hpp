#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>

#include "aggregate/size_class_pool.hpp"
#include "record/time.hpp"

namespace llmopt_stream {

/// The rows of one key on one side of a join, earliest first, rows of one time in the order in which
/// they came. One block of a pool, 17 bytes a row, none where there is no row. A row that comes
/// behind k later ones moves these: nothing where rows come nearly in order, much in a hot key with
/// much disorder. It does not own the memory: destroy() gives it back.
class TimedRows {
public:
    struct Row {
        Timestamp time;
        std::uint64_t id;
    };

    [[nodiscard]] bool empty() const noexcept { return size_ == 0; }
    [[nodiscard]] std::uint32_t size() const noexcept { return size_; }
    [[nodiscard]] std::span<const Row> rows() const noexcept { return {rows_ + head_, size_}; }
    /// By row, whether it has matched.
    [[nodiscard]] std::span<std::uint8_t> matched() const noexcept { return {flags() + head_, size_}; }

    void insert(const Row& row, bool matched, SizeClassPool& pool) {
        if (head_ + size_ == capacity_) {
            make_room(pool);
        }
        Row* const begin = rows_ + head_;
        Row* const end = begin + size_;
        Row* at = end;
        if (size_ != 0 && end[-1].time > row.time) {
            at = std::upper_bound(begin, end, row.time,
                                  [](Timestamp time, const Row& other) { return time < other.time; });
            std::copy_backward(at, end, end + 1);
            std::uint8_t* const flag = flags() + (at - rows_);
            std::copy_backward(flag, flag + (end - at), flag + (end - at) + 1);
        }
        *at = row;
        flags()[at - rows_] = matched ? 1 : 0;
        ++size_;
    }
    void pop_front(SizeClassPool& pool) noexcept {
        ++head_;
        if (--size_ == 0) {
            destroy(pool);
        }
    }
    void destroy(SizeClassPool& pool) noexcept {
        if (rows_ != nullptr) {
            pool.release(rows_, capacity_ * kRowBytes);
        }
        *this = {};
    }

    /// Brings what insert() and a look at the rows need into the cache.
    void prefetch() const noexcept {
        __builtin_prefetch(rows_ + head_);
        __builtin_prefetch(rows_ + head_ + size_);
        __builtin_prefetch(flags() + head_);
    }

private:
    static constexpr std::size_t kRowBytes = sizeof(Row) + 1;
    static constexpr std::size_t kFewest = 3;

    [[nodiscard]] std::uint8_t* flags() const noexcept {
        return reinterpret_cast<std::uint8_t*>(rows_ + capacity_);
    }

    /// Behind the last row: by taking the place of rows that went where these were a quarter or
    /// more and the block is not much too large, otherwise in a block of twice the rows.
    void make_room(SizeClassPool& pool) {
        if (head_ >= capacity_ / 4 + 1 && size_ >= capacity_ / 4) {
            std::copy(rows_ + head_, rows_ + head_ + size_, rows_);
            std::copy(flags() + head_, flags() + head_ + size_, flags());
            head_ = 0;
            return;
        }
        const std::size_t wanted = std::max(kFewest, 2 * std::size_t{size_});
        TimedRows larger;
        larger.capacity_ =
            static_cast<std::uint32_t>(SizeClassPool::block_bytes(wanted * kRowBytes) / kRowBytes);
        larger.rows_ = static_cast<Row*>(pool.allocate(larger.capacity_ * kRowBytes));
        larger.size_ = size_;
        std::copy_n(rows_ + head_, size_, larger.rows_);
        std::copy_n(flags() + head_, size_, larger.flags());
        destroy(pool);
        *this = larger;
    }

    Row* rows_ = nullptr;  // the flags are behind the last place for a row
    std::uint32_t head_ = 0;
    std::uint32_t size_ = 0;
    std::uint32_t capacity_ = 0;
};

}  // namespace llmopt_stream
