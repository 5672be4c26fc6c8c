#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>

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
