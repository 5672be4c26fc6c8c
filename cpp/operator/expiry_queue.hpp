#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <utility>

#include "aggregate/size_class_pool.hpp"
#include "record/time.hpp"

namespace llmopt_stream {

/// What is due at times that the clock has not reached; the clock is some watermark. A radix heap
/// (Ahuja, Mehlhorn, Orlin and Tarjan, 1990): entries lie in buckets by the highest bit in which
/// their time differs from the clock's, and are looked at again only when the clock reaches that
/// bit. Needs no idea of how far apart times are; an entry that is due after d microseconds moves at most
/// log2(d) times. It holds the entries and little else, and nothing when empty.
template <typename Value>
class ExpiryQueue {
public:
    struct Entry {
        Timestamp due;
        Value value;
    };

    /// The entries lie in `pool`, which must outlive the queue.
    explicit ExpiryQueue(SizeClassPool& pool) : pool_(&pool) {}

    /// It must be due after the clock.
    void push(const Entry& entry) {
        const std::size_t number = bucket_of(ordinal(entry.due));
        Chunk*& newest = buckets_[number];
        if (newest == nullptr || newest->size == kPerChunk) {
            auto* const chunk = static_cast<Chunk*>(pool_->allocate(sizeof(Chunk)));
            chunk->older = newest;
            chunk->size = 0;
            newest = chunk;
            occupied_ |= std::uint64_t{1} << number;
        }
        newest->entries[newest->size++] = entry;
        ++size_;
    }

    /// Sets the clock and takes out what is due then or before, in no particular order. A clock that goes
    /// back is ignored. `expire(entry)` must not touch the queue.
    template <typename Expire>
    void advance(Timestamp clock, Expire expire) {
        const std::uint64_t now = ordinal(clock);
        if (now <= now_) {
            return;
        }
        const std::size_t reached = bucket_of(now);
        now_ = now;
        // Times below the highest bit that changed are all past.
        std::uint64_t past = occupied_ & ((std::uint64_t{1} << reached) - 1);
        for (; past != 0; past &= past - 1) {
            empty(static_cast<std::size_t>(std::countr_zero(past)), expire);
        }
        if ((occupied_ >> reached & 1) != 0) {
            empty(reached, [&](const Entry& entry) {
                if (entry.due <= clock) {
                    expire(entry);
                } else {
                    push(entry);
                }
            });
        }
    }

    [[nodiscard]] std::size_t size() const noexcept { return size_; }

private:
    static constexpr std::size_t kPerChunk = 63;
    struct Chunk {
        Chunk* older;
        std::size_t size;
        std::array<Entry, kPerChunk> entries;
    };

    /// Unsigned numbers in the order of times.
    [[nodiscard]] static std::uint64_t ordinal(Timestamp time) noexcept {
        return static_cast<std::uint64_t>(time) ^ (std::uint64_t{1} << 63);
    }
    /// Of a time after the clock.
    [[nodiscard]] std::size_t bucket_of(std::uint64_t time) const noexcept {
        return static_cast<std::size_t>(std::bit_width(time ^ now_)) - 1;
    }
    template <typename Take>
    void empty(std::size_t bucket, Take take) {
        occupied_ &= ~(std::uint64_t{1} << bucket);
        for (Chunk* chunk = std::exchange(buckets_[bucket], nullptr); chunk != nullptr;) {
            size_ -= chunk->size;
            for (std::size_t at = 0; at < chunk->size; ++at) {
                take(chunk->entries[at]);
            }
            pool_->release(std::exchange(chunk, chunk->older), sizeof(Chunk));
        }
    }

    SizeClassPool* pool_;
    std::uint64_t now_ = 0;
    std::array<Chunk*, 64> buckets_{};  // the newest chunk of each
    std::uint64_t occupied_ = 0;        // bit b: bucket b is not empty
    std::size_t size_ = 0;
};

}  // namespace llmopt_stream
