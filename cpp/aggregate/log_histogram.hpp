#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <vector>

#include "aggregate/histogram_bucket.hpp"
#include "aggregate/size_class_pool.hpp"
#include "state/byte_codec.hpp"

namespace llmopt_stream {

/// Counts of values in buckets of constant relative width: DDSketch (Masson, Rim, Lee,
/// VLDB 2019) with its cubic interpolation of the logarithm, 35 buckets to an octave, and
/// the uniform collapse of UDDSketch (Epicoco et al., 2020) beyond 768 buckets for the
/// values of one sign. Negative values and zeros have their own counts.
///
/// The relative error is below 1 % while the values of one sign span 21 octaves; each
/// collapse about doubles it. The collapse level is the smallest at which the ranges of
/// buckets fit, so the state is a function of the multiset of values.
///
/// A plain pointer to a block of the pool, like QuantileSketch: it does not own it.
class LogHistogram {
public:
    static constexpr std::int32_t kBucketsPerOctave = 35;
    /// For each sign.
    static constexpr std::int32_t kMaxBuckets = 768;

    /// Which bucket of level 0 counts a value: its index among those of |value|, times
    /// two, plus one for negative values. Zeros have kZero.
    using Bucket = std::int32_t;
    static constexpr Bucket kZero = std::numeric_limits<Bucket>::min();
    /// Requires a finite value.
    [[nodiscard]] static Bucket bucket_of(double value) noexcept;
    /// The same for normal values only, without branches, to be vectorised.
    [[nodiscard]] static Bucket bucket_of_normal(double value) noexcept;
    /// bucket_of() for each of many finite values.
    template <typename Value>
    [[gnu::always_inline]] static void buckets_of(const Value* values, std::size_t size,
                                                  Bucket* buckets) noexcept;

    LogHistogram() = default;
    /// A block that another LogHistogram had, or null.
    explicit LogHistogram(std::byte* block) noexcept : block_(block) {}
    /// Null until the first value. Its first byte is at least kFirstTag; a block whose
    /// first byte is less belongs to someone else.
    [[nodiscard]] std::byte* block() const noexcept { return block_; }
    static constexpr std::uint8_t kFirstTag = 2;

    /// Counts a value if that takes nothing but adding one. Requires a block.
    [[nodiscard]] bool try_add(Bucket bucket) noexcept;
    void add(std::span<const Bucket> buckets, SizeClassPool& pool);
    void merge(const LogHistogram& other, SizeClassPool& pool);
    void destroy(SizeClassPool& pool) noexcept;

    [[nodiscard]] std::uint64_t count() const noexcept;
    /// How many times all pairs of neighbouring buckets became one.
    [[nodiscard]] int level() const noexcept;
    /// The bound on the relative error of values().
    [[nodiscard]] double error() const noexcept;
    /// For each rank (1-based, ascending, at most count()) the value that stands for the
    /// bucket which holds the value of that rank.
    void values(std::span<const std::uint64_t> ranks, std::span<double> results) const noexcept;
    /// The buckets that have values, by ascending values, collapsed until those of one sign span at most
    /// `most` buckets, at least 2.
    [[nodiscard]] std::vector<HistogramBucket> buckets(int most) const;

    /// Equal multisets give equal bytes.
    void encode(ByteWriter& out) const;
    /// Throws Error(kCheckpoint) on bytes that encode() did not write.
    [[nodiscard]] static LogHistogram decode(ByteReader& in, SizeClassPool& pool);

private:
    /// Behind it lie the counters: first those of positive, then those of negative values.
    struct Block {
        std::uint8_t counter_bytes;  // 2, 4 or 8: the least that holds the greatest count
        std::uint8_t level;
        std::uint16_t slots[2];
        std::uint16_t start[2];
        std::int32_t first[2];  // bucket, at `level`, of the first slot
        std::uint64_t zeros;

        [[nodiscard]] std::byte* counters() noexcept { return reinterpret_cast<std::byte*>(this + 1); }
        [[nodiscard]] std::size_t bytes() const noexcept {
            return sizeof(Block) + std::size_t{counter_bytes} * (std::size_t{slots[0]} + slots[1]);
        }
    };
    /// Buckets [first, end) of one sign.
    struct Range {
        std::int32_t first = 0;
        std::int32_t end = 0;
        [[nodiscard]] bool empty() const noexcept { return first == end; }
        [[nodiscard]] std::int32_t size() const noexcept { return end - first; }
        void include(Range other) noexcept;
        [[nodiscard]] Range collapsed(int levels) const noexcept;
    };
    using Ranges = std::array<Range, 2>;

    [[nodiscard]] Block& head() const noexcept { return *reinterpret_cast<Block*>(block_); }
    [[nodiscard]] Range occupied(int sign) const noexcept;
    [[nodiscard]] std::uint64_t greatest_count(int level) const noexcept;
    void make_room(int level, Ranges ranges, SizeClassPool& pool);
    void rebuild(int level, const Ranges& ranges, std::uint8_t counter_bytes, SizeClassPool& pool);
    void count_up(int sign, std::int32_t bucket, std::uint64_t count, SizeClassPool& pool);
    /// Adds the counters of `other` to ours if that takes nothing else. Requires blocks.
    [[nodiscard]] bool try_merge(const LogHistogram& other) noexcept;

    std::byte* block_ = nullptr;
};

inline LogHistogram::Bucket LogHistogram::bucket_of_normal(double value) noexcept {
    // With |value| = 2^e * (1 + s): 35 * (e + f(s)), where the cubic f(s) = 6/35 s^3 - 3/5 s^2 +
    // 10/7 s follows log2(1 + s) and meets it at both ends.
    const auto bits = std::bit_cast<std::uint64_t>(value);
    constexpr std::uint64_t kMantissa = (std::uint64_t{1} << 52) - 1;
    const auto exponent = static_cast<std::int32_t>((bits >> 52) & 0x7ff) - 1023;
    const double s = std::bit_cast<double>((bits & kMantissa) | std::bit_cast<std::uint64_t>(1.0)) - 1.0;
    const auto within = static_cast<std::int32_t>(s * (50.0 + s * (s * 6.0 - 21.0)));
    return (kBucketsPerOctave * exponent + within) * 2 + static_cast<std::int32_t>(bits >> 63);
}

template <typename Value>
inline void LogHistogram::buckets_of(const Value* values, std::size_t size, Bucket* buckets) noexcept {
    Bucket least = 0;
    for (std::size_t i = 0; i < size; ++i) {
        const Bucket bucket = bucket_of_normal(static_cast<double>(values[i]));
        buckets[i] = bucket;
        least = bucket < least ? bucket : least;
    }
    // Zeros and subnormal values appear to lie before the least normal one.
    if (least < bucket_of_normal(std::numeric_limits<double>::min())) {
        for (std::size_t i = 0; i < size; ++i) {
            buckets[i] = bucket_of(static_cast<double>(values[i]));
        }
    }
}

inline bool LogHistogram::try_add(Bucket bucket) noexcept {
    Block& block = head();
    const int sign = bucket & 1;
    // kZero lies before every first bucket, so it never finds a slot.
    const auto slot = static_cast<std::uint32_t>((bucket >> (block.level + 1)) - block.first[sign]);
    if (slot >= block.slots[sign]) {
        return false;
    }
    const auto count_one = [&]<typename Counter>(Counter) {
        Counter& counter = reinterpret_cast<Counter*>(block.counters())[block.start[sign] + slot];
        if (counter == std::numeric_limits<Counter>::max()) [[unlikely]] {
            return false;
        }
        ++counter;
        return true;
    };
    if (block.counter_bytes == 2) [[likely]] {
        return count_one(std::uint16_t{});
    }
    switch (block.counter_bytes) {
        case 4: return count_one(std::uint32_t{});
        default: return count_one(std::uint64_t{});
    }
}

}  // namespace llmopt_stream
