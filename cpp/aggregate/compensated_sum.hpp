#pragma once

#include <cmath>
#include <cstdint>

#include "aggregate/double_double.hpp"

namespace llmopt_stream {

/// A running sum of doubles in twice their precision: the rounding error of every
/// addition is exact (Knuth's two-sum) and summed beside it (Neumaier 1974). Insensitive to
/// the order of its terms to about 1e-30 of the sum of their magnitudes, as long as
/// normalize() is called once in kNormalizeEvery terms; callers count, so that when it
/// happens depends on nothing but the number of terms. Without that call the low part
/// rounds as well, and the error grows towards n^2 * 1e-32.
///
/// Once the sum has overflowed it stays infinite.
class CompensatedSum {
public:
    static constexpr std::uint64_t kNormalizeEvery = 16;

    constexpr CompensatedSum() = default;
    constexpr explicit CompensatedSum(DoubleDouble parts) noexcept : parts_(parts) {}

    constexpr void add(double x) noexcept {
        const DoubleDouble sum = two_sum(parts_.hi, x);
        parts_.hi = sum.hi;
        parts_.lo += sum.lo;
    }
    /// A term that is itself the sum of two doubles, as exact_square() gives it.
    constexpr void add(DoubleDouble x) noexcept {
        const DoubleDouble sum = two_sum(parts_.hi, x.hi);
        parts_.hi = sum.hi;
        parts_.lo += sum.lo + x.lo;
    }
    void normalize() noexcept { parts_ = value_parts(); }
    void merge(const CompensatedSum& other) noexcept {
        if (!std::isfinite(parts_.hi)) {
            return;  // of two infinite sums the first one stays: inf - inf says nothing
        }
        add(other.value_parts());
        normalize();
    }

    /// The sum, rounded once.
    [[nodiscard]] double value() const noexcept { return value_parts().hi; }
    /// The sum in full; the low part is 0 where the sum is infinite.
    [[nodiscard]] DoubleDouble value_parts() const noexcept {
        const DoubleDouble sum = two_sum(parts_.hi, parts_.lo);
        return std::isfinite(sum.hi) ? sum : DoubleDouble{parts_.hi, 0.0};
    }
    /// As they are kept, for a checkpoint.
    [[nodiscard]] const DoubleDouble& raw_parts() const noexcept { return parts_; }

private:
    DoubleDouble parts_;
};

/// The square root of the sum of squared deviations from the mean over `divisor`, of
/// `count` values that lie `spread` = max - min apart. Good to about
/// 1e-31 * sqrt(count) * (mean / stddev)^2; whatever is lost to cancellation, the result stays within what
/// the spread allows, so that equal values give exactly 0.
[[nodiscard]] double standard_deviation(DoubleDouble sum, DoubleDouble squares, std::uint64_t count,
                                        std::uint64_t divisor, double spread) noexcept;
/// Its square, not rounded twice.
[[nodiscard]] double variance(DoubleDouble sum, DoubleDouble squares, std::uint64_t count,
                              std::uint64_t divisor, double spread) noexcept;

}  // namespace llmopt_stream
