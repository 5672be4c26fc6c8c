#pragma once

#include <cmath>
#include <cstdint>

namespace llmopt_stream {

enum class Comparison : std::uint8_t { kEqual, kLess, kLessOrEqual, kGreater, kGreaterOrEqual };

/// Calls visit(compares), where compares(a, b) says whether the comparison holds.
template <typename Visit>
void with_comparison(Comparison comparison, Visit visit) {
    switch (comparison) {
        case Comparison::kEqual: return visit([](const auto& a, const auto& b) { return a == b; });
        case Comparison::kLess: return visit([](const auto& a, const auto& b) { return a < b; });
        case Comparison::kLessOrEqual: return visit([](const auto& a, const auto& b) { return a <= b; });
        case Comparison::kGreater: return visit([](const auto& a, const auto& b) { return a > b; });
        case Comparison::kGreaterOrEqual: return visit([](const auto& a, const auto& b) { return a >= b; });
    }
}

/// -1, 0 or 1 as the integer is less than the number, equal or greater, without rounding it. Requires a
/// finite number.
[[nodiscard]] inline int compare_exactly(std::int64_t a, double b) noexcept {
    if (b >= 0x1p63) {
        return -1;
    }
    if (b < -0x1p63) {
        return 1;
    }
    const double whole = std::trunc(b);
    const auto integer = static_cast<std::int64_t>(whole);
    if (a != integer) {
        return a < integer ? -1 : 1;
    }
    return whole == b ? 0 : b > whole ? -1 : 1;
}

}  // namespace llmopt_stream
