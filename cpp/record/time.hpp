#pragma once

#include <cstdint>
#include <limits>

namespace llmopt_stream {

/// Microseconds since the Unix epoch. A plain integer, because time columns are
/// Arrow's int64 buffers, read in place.
using Timestamp = std::int64_t;
/// A length of time in microseconds.
using Duration = std::int64_t;

/// The watermark before any record; no record is late under it.
inline constexpr Timestamp kMinTimestamp = std::numeric_limits<Timestamp>::min();
/// The watermark at the end of input; every window is complete under it.
inline constexpr Timestamp kMaxTimestamp = std::numeric_limits<Timestamp>::max();

/// a + b, held at the ends of the range instead of wrapping.
[[nodiscard]] constexpr std::int64_t add_saturating(std::int64_t a, std::int64_t b) noexcept {
    std::int64_t sum = 0;
    if (!__builtin_add_overflow(a, b, &sum)) {
        return sum;
    }
    return b > 0 ? kMaxTimestamp : kMinTimestamp;
}

/// The remainder of a / size in [0, size), also for negative a. Requires size > 0.
[[nodiscard]] constexpr Duration floor_mod(std::int64_t a, Duration size) noexcept {
    const Duration remainder = a % size;
    return remainder < 0 ? remainder + size : remainder;
}

/// The greatest offset + k * size that is not after t (saturating).
[[nodiscard]] constexpr Timestamp floor_to(Timestamp t, Duration size, Duration offset) noexcept {
    // Both terms are reduced first, so that t - offset cannot overflow.
    const Duration into = floor_mod(floor_mod(t, size) - floor_mod(offset, size), size);
    return add_saturating(t, -into);
}

/// [start, end).
struct Interval {
    Timestamp start;
    Timestamp end;
    friend bool operator==(const Interval&, const Interval&) = default;
};

}  // namespace llmopt_stream
