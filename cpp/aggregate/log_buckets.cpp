#include "aggregate/log_buckets.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <limits>

namespace llmopt_stream {

namespace {

constexpr std::int32_t kPerOctave = LogHistogram::kBucketsPerOctave;
// Where the buckets of [1, 2) begin: the inverse of the cubic at 0, 1, …, 35.
constexpr std::array<double, kPerOctave + 1> kBounds = [] {
    std::array<double, kPerOctave + 1> bounds{};
    for (int k = 0; k <= kPerOctave; ++k) {
        double s = static_cast<double>(k) / kPerOctave;
        for (int newton = 0; newton < 8; ++newton) {
            s -= (s * (50.0 + s * (s * 6.0 - 21.0)) - k) / (50.0 + s * (18.0 * s - 42.0));
        }
        bounds[static_cast<std::size_t>(k)] = 1.0 + s;
    }
    return bounds;
}();

// The value between l and u of equal relative distance to both, 2lu / (l + u), has the
// relative error (u - l) / (u + l). Collapsing adds the logarithms of two widths, and the
// error is the hyperbolic tangent of half the logarithm: hence the doubling formula.
constexpr std::array<double, log_buckets::kMaxLevel + 1> kErrors = [] {
    std::array<double, log_buckets::kMaxLevel + 1> errors{};
    for (std::size_t k = 0; k < kPerOctave; ++k) {
        errors[0] = std::max(errors[0], (kBounds[k + 1] - kBounds[k]) / (kBounds[k + 1] + kBounds[k]));
    }
    for (std::size_t level = 1; level <= log_buckets::kMaxLevel; ++level) {
        const double half = errors[level - 1];
        errors[level] = 2 * half / (1 + half * half);
    }
    return errors;
}();
static_assert(kErrors[0] < 0.01);

}  // namespace

namespace log_buckets {

double representative(std::int32_t bucket, int level) noexcept {
    const std::int32_t begin = bucket * (1 << level);
    const std::int32_t end = (bucket + 1) * (1 << level);
    const auto octave_of = [](std::int32_t index) {
        return (index >= 0 ? index : index - (kPerOctave - 1)) / kPerOctave;
    };
    const int octave = octave_of(begin);
    const double lower = kBounds[static_cast<std::size_t>(begin - octave * kPerOctave)];
    const int end_octave = octave_of(end);
    const double upper =
        std::ldexp(kBounds[static_cast<std::size_t>(end - end_octave * kPerOctave)], end_octave - octave);
    return std::min(std::ldexp(2 * lower * (upper / (lower + upper)), octave),
                    std::numeric_limits<double>::max());
}

double lower_bound(std::int32_t bucket, int level) noexcept {
    // What rounding in bucket_of_normal() makes of the bounds.
    static const std::array<double, kPerOctave> kLeast = [] {
        std::array<double, kPerOctave> least{};
        for (std::int32_t k = 0; k < kPerOctave; ++k) {
            const auto is_within = [k](double value) {
                return LogHistogram::bucket_of_normal(value) >= 2 * k;
            };
            double value = kBounds[static_cast<std::size_t>(k)];
            while (value > 1 && is_within(std::nextafter(value, 0))) {
                value = std::nextafter(value, 0);
            }
            while (!is_within(value)) {
                value = std::nextafter(value, 2);
            }
            least[static_cast<std::size_t>(k)] = value;
        }
        return least;
    }();
    const std::int64_t begin = std::int64_t{bucket} * (std::int64_t{1} << level);
    const std::int64_t octave = (begin >= 0 ? begin : begin - (kPerOctave - 1)) / kPerOctave;
    const double least = kLeast[static_cast<std::size_t>(begin - octave * kPerOctave)];
    const auto exponent = static_cast<int>(octave);
    const double bound = std::ldexp(least, exponent);
    // A subnormal number may have been rounded down.
    const bool is_too_small =
        bound < std::numeric_limits<double>::min() && std::ldexp(bound, -exponent) < least;
    return is_too_small ? std::nextafter(bound, 1) : bound;
}

double relative_error(int level) noexcept { return kErrors[static_cast<std::size_t>(level)]; }

}  // namespace log_buckets

LogHistogram::Bucket LogHistogram::bucket_of(double value) noexcept {
    if (std::fabs(value) >= std::numeric_limits<double>::min()) [[likely]] {
        return bucket_of_normal(value);
    }
    if (value == 0) {
        return kZero;
    }
    // Subnormal: scaled by 64 octaves, which are exactly 64 * 35 buckets.
    return bucket_of_normal(value * 0x1p64) - 64 * kPerOctave * 2;
}

}  // namespace llmopt_stream
