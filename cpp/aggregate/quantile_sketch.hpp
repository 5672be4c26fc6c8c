#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "aggregate/log_histogram.hpp"
#include "aggregate/size_class_pool.hpp"
#include "state/byte_codec.hpp"

namespace llmopt_stream {

/// Percentiles of a multiset of finite values: exact for at most 64 of them, from a
/// LogHistogram of all of them beyond. Either way the answers are a function of the
/// multiset alone, not of the order in which values came or parts were merged.
///
/// A plain pointer to a block of the pool (null when empty), so that it fits in a row of
/// bytes. It does not own the block: destroy() gives it back, a copy refers to the same.
class QuantileSketch {
public:
    static constexpr std::size_t kExactValues = 64;

    void add(double value, SizeClassPool& pool) {
        const LogHistogram::Bucket bucket = LogHistogram::bucket_of(value);
        if (!try_add(value, bucket)) {
            add_slowly(value, bucket, pool);
        }
    }
    /// For loops that compute the buckets of a whole column beforehand: adds the value if
    /// that changes nothing but the block. If not, add_slowly() must follow.
    [[nodiscard]] bool try_add(double value, LogHistogram::Bucket bucket) noexcept;
    void add_slowly(double value, LogHistogram::Bucket bucket, SizeClassPool& pool);
    void merge(const QuantileSketch& other, SizeClassPool& pool);
    void destroy(SizeClassPool& pool) noexcept;

    /// Of what percentiles() is about to read.
    void prefetch() const noexcept { __builtin_prefetch(block_); }
    [[nodiscard]] std::uint64_t count() const noexcept;
    /// results[i] is the value of nearest rank for percents[i]. Requires that the sketch is
    /// not empty and that min and max are its extremes: answers are clamped to them, and
    /// the first and the last rank are answered by them.
    void percentiles(std::span<const double> percents, double min, double max,
                     std::span<double> results) const;
    [[nodiscard]] double percentile(double percent, double min, double max) const;
    /// The bound on the relative error of percentiles.
    [[nodiscard]] double error() const noexcept;

    void encode(ByteWriter& out) const;
    /// Throws Error(kCheckpoint) on bytes that encode() did not write.
    [[nodiscard]] static QuantileSketch decode(ByteReader& in, SizeClassPool& pool);

private:
    /// Behind it lie the values, in arrival order.
    struct alignas(8) ExactBlock {
        std::uint8_t tag;
        std::uint8_t size;
        std::uint8_t capacity;

        [[nodiscard]] double* values() noexcept { return reinterpret_cast<double*>(this + 1); }
        [[nodiscard]] static constexpr std::size_t bytes(std::size_t capacity) noexcept {
            return sizeof(ExactBlock) + capacity * sizeof(double);
        }
    };
    static constexpr std::uint8_t kExactTag = 1;
    static_assert(kExactTag < LogHistogram::kFirstTag);

    [[nodiscard]] bool is_histogram() const noexcept {
        return block_ != nullptr && std::to_integer<std::uint8_t>(*block_) >= LogHistogram::kFirstTag;
    }
    [[nodiscard]] ExactBlock& exact() const noexcept { return *reinterpret_cast<ExactBlock*>(block_); }
    [[nodiscard]] std::span<const double> exact_values() const noexcept;
    void append_exact(std::span<const double> values, SizeClassPool& pool);
    void become_histogram(SizeClassPool& pool);

    std::byte* block_ = nullptr;
};

inline bool QuantileSketch::try_add(double value, LogHistogram::Bucket bucket) noexcept {
    if (block_ == nullptr) {
        return false;
    }
    if (is_histogram()) [[likely]] {
        return LogHistogram(block_).try_add(bucket);
    }
    ExactBlock& block = exact();
    if (block.size == block.capacity) {
        return false;
    }
    block.values()[block.size++] = value;
    return true;
}

/// The 1-based rank ceil(percent / 100 * count), at least 1. `percent` is read to 1e-9, so
/// that 99.9 of 1000 is rank 999 although 99.9 has no exact binary form.
[[nodiscard]] std::uint64_t nearest_rank(double percent, std::uint64_t count) noexcept;

}  // namespace llmopt_stream
