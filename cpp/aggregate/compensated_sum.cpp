#include "aggregate/compensated_sum.hpp"

#include <algorithm>
#include <limits>

namespace llmopt_stream {

namespace {

/// The sum of squared deviations from the mean, before what cancellation lost is bounded.
double squared_deviations(DoubleDouble sum, DoubleDouble squares, double n) noexcept {
    const DoubleDouble deviations = squares - (sum / n) * sum;
    return std::max(deviations.hi, 0.0);
}

constexpr double kRounding = 4 * std::numeric_limits<double>::epsilon();

}  // namespace

double standard_deviation(DoubleDouble sum, DoubleDouble squares, std::uint64_t count, std::uint64_t divisor,
                          double spread) noexcept {
    if (spread == 0) {
        return 0.0;
    }
    if (!std::isfinite(squares.hi) || !std::isfinite(sum.hi)) {
        return std::numeric_limits<double>::infinity();
    }
    const auto n = static_cast<double>(count);
    const auto over = static_cast<double>(divisor);
    const double computed = std::sqrt(squared_deviations(sum, squares, n) / over);
    // Two values at the ends, the others in the middle: the least that is possible.
    // Half of them at either end: the most (Popoviciu). Both only beyond rounding.
    const double least = spread / std::sqrt(2 * over) * (1 - kRounding);
    const double most = spread / 2 * std::sqrt(n / over) * (1 + kRounding);
    return std::clamp(computed, least, std::max(least, most));
}

double variance(DoubleDouble sum, DoubleDouble squares, std::uint64_t count, std::uint64_t divisor,
                double spread) noexcept {
    if (spread == 0) {
        return 0.0;
    }
    if (!std::isfinite(squares.hi) || !std::isfinite(sum.hi)) {
        return std::numeric_limits<double>::infinity();
    }
    const auto n = static_cast<double>(count);
    const auto over = static_cast<double>(divisor);
    const double least = spread / (2 * over) * spread * (1 - 2 * kRounding);
    const double most = spread / 4 * (n / over) * spread * (1 + 2 * kRounding);
    return std::clamp(squared_deviations(sum, squares, n) / over, least, std::max(least, most));
}

}  // namespace llmopt_stream
