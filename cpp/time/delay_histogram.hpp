#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>

#include "record/time.hpp"
#include "state/byte_codec.hpp"

namespace llmopt_stream {

/// How many records were how late. Delays below 64 us are counted exactly, longer ones in
/// buckets at most 1/32 of their lower edge wide (HdrHistogram's scheme).
class DelayHistogram {
public:
    static constexpr unsigned kPrecisionBits = 5;
    static constexpr std::size_t kBuckets = (64 - kPrecisionBits) << kPrecisionBits;

    /// `delay` >= 0.
    void add(Duration delay) noexcept { ++counts_[bucket_of(static_cast<std::uint64_t>(delay))]; }
    /// How far each time lies behind the greatest one before it, where it does.
    void add_all(std::span<const Timestamp> times, std::span<const Timestamp> greatest_before) noexcept {
        constexpr auto kLongest = static_cast<std::uint64_t>(std::numeric_limits<Duration>::max());
        const Timestamp* const time = times.data();
        const Timestamp* const greatest = greatest_before.data();
        std::uint64_t* const counts = counts_.data();
        // Many streams are neither mostly in order nor mostly not, so a branch would be mispredicted:
        // what is not behind is counted as no delay, and that count taken back.
        const std::uint64_t no_delay = counts[0];
        for (std::size_t record = 0; record < times.size(); ++record) {
            const std::uint64_t difference =
                static_cast<std::uint64_t>(greatest[record]) - static_cast<std::uint64_t>(time[record]);
            const auto is_behind = static_cast<std::uint64_t>(time[record] < greatest[record]);
            const std::uint64_t delay = difference & (0 - is_behind);
            if (delay >= kExactInDouble) [[unlikely]] {
                ++counts[bucket_of(std::min(delay, kLongest))];
                continue;
            }
            // The exponent of a double and the first bits behind it are octave and mantissa of the bucket.
            const auto bits = std::bit_cast<std::uint64_t>(static_cast<double>(static_cast<Duration>(delay)));
            const std::uint64_t bucket = (bits >> (52 - kPrecisionBits)) - kBucketBias;
            const auto is_short = static_cast<std::uint64_t>(delay <= kMask);
            ++counts[bucket + ((delay - bucket) & (0 - is_short))];
        }
        counts[0] = no_delay;
    }
    [[nodiscard]] std::uint64_t count(std::size_t bucket) const noexcept { return counts_[bucket]; }
    /// The smallest delay in a bucket; a bucket ends where the next one begins.
    [[nodiscard]] static std::uint64_t lower_edge(std::size_t bucket) noexcept {
        const std::size_t octave = bucket >> kPrecisionBits;
        if (octave < 2) {
            return bucket;
        }
        const std::uint64_t mantissa = (bucket & kMask) | (kMask + 1);
        return mantissa << (octave - 1);
    }

    void encode(ByteWriter& out) const {
        out.write<std::uint64_t>(kBuckets -
                                 static_cast<std::size_t>(std::count(counts_.begin(), counts_.end(), 0)));
        for (std::size_t bucket = 0; bucket < kBuckets; ++bucket) {
            if (counts_[bucket] != 0) {
                out.write(static_cast<std::uint32_t>(bucket));
                out.write(counts_[bucket]);
            }
        }
    }
    void decode(ByteReader& in) {
        const std::uint64_t used = in.read_count(sizeof(std::uint32_t) + sizeof(std::uint64_t));
        for (std::uint64_t at = 0; at < used; ++at) {
            const auto bucket = in.read<std::uint32_t>();
            if (bucket >= kBuckets) {
                ByteReader::corrupt("a delay that cannot be");
            }
            counts_[bucket] = in.read<std::uint64_t>();
        }
    }

private:
    static constexpr std::size_t kMask = (std::size_t{1} << kPrecisionBits) - 1;
    static constexpr std::uint64_t kExactInDouble = std::uint64_t{1} << 53;
    /// 2^kPrecisionBits, the first delay of octave 1, as a double has it.
    static constexpr std::uint64_t kBucketBias = std::uint64_t{1023 + kPrecisionBits - 1} << kPrecisionBits;

    [[nodiscard]] static std::size_t bucket_of(std::uint64_t delay) noexcept {
        const auto width = static_cast<unsigned>(std::bit_width(delay));
        if (width <= kPrecisionBits + 1) {
            return delay;
        }
        const unsigned shift = width - kPrecisionBits - 1;
        return (std::size_t{shift + 1} << kPrecisionBits) | ((delay >> shift) & kMask);
    }

    std::array<std::uint64_t, kBuckets> counts_{};
};

}  // namespace llmopt_stream
