#include "aggregate/compensated_sum.hpp"

#include <algorithm>
#include <limits>

namespace llmopt_stream {

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
    const DoubleDouble deviations = squares - (sum / n) * sum;
    const double computed = std::sqrt(std::max(deviations.hi, 0.0) / over);
    // Two values at the ends, the others in the middle: the least that is possible.
    // Half of them at either end: the most (Popoviciu). Both only beyond rounding.
    constexpr double kRounding = 4 * std::numeric_limits<double>::epsilon();
    const double least = spread / std::sqrt(2 * over) * (1 - kRounding);
    const double most = spread / 2 * std::sqrt(n / over) * (1 + kRounding);
    return std::clamp(computed, least, std::max(least, most));
}

}  // namespace llmopt_stream
