#pragma once

#include "record/int128.hpp"

namespace llmopt_stream {

/// The unevaluated sum of two doubles, about 106 bits (Dekker 1971; Hida, Li, Bailey 2001).
/// Nothing here uses fused multiply-add: results must not depend on the machine, and the
/// file must not be compiled with contraction or -ffast-math.
struct DoubleDouble {
    double hi = 0;
    double lo = 0;
};

/// a + b exactly (Knuth), as long as nothing overflows.
[[nodiscard]] constexpr DoubleDouble two_sum(double a, double b) noexcept {
    const double sum = a + b;
    const double b_in_sum = sum - a;
    return {sum, (a - (sum - b_in_sum)) + (b - b_in_sum)};
}

/// a in two halves of 26 bits (Veltkamp). Requires |a| < 2^996.
[[nodiscard]] constexpr DoubleDouble split(double a) noexcept {
    const double scaled = 134217729.0 * a;  // 2^27 + 1
    const double high = scaled - (scaled - a);
    return {high, a - high};
}

/// a * b exactly (Dekker), as long as nothing overflows or leaves the normal range.
[[nodiscard]] constexpr DoubleDouble two_product(double a, double b) noexcept {
    const double product = a * b;
    const DoubleDouble x = split(a);
    const DoubleDouble y = split(b);
    return {product, ((x.hi * y.hi - product) + x.hi * y.lo + x.lo * y.hi) + x.lo * y.lo};
}

/// a * a exactly; without its low part from about 2^511 on, where computing that
/// overflows, and infinite where the square itself does.
[[nodiscard]] constexpr DoubleDouble exact_square(double a) noexcept {
    const DoubleDouble square = two_product(a, a);
    return {square.hi, square.lo - square.lo == 0 ? square.lo : 0.0};
}

[[nodiscard]] constexpr DoubleDouble operator+(DoubleDouble a, DoubleDouble b) noexcept {
    DoubleDouble high = two_sum(a.hi, b.hi);
    const DoubleDouble low = two_sum(a.lo, b.lo);
    high = two_sum(high.hi, high.lo + low.hi);
    return two_sum(high.hi, high.lo + low.lo);
}

[[nodiscard]] constexpr DoubleDouble operator-(DoubleDouble a, DoubleDouble b) noexcept {
    return a + DoubleDouble{-b.hi, -b.lo};
}

[[nodiscard]] constexpr DoubleDouble operator*(DoubleDouble a, DoubleDouble b) noexcept {
    const DoubleDouble product = two_product(a.hi, b.hi);
    return two_sum(product.hi, product.lo + (a.hi * b.lo + a.lo * b.hi));
}

[[nodiscard]] constexpr DoubleDouble operator/(DoubleDouble a, double b) noexcept {
    const double first = a.hi / b;
    const DoubleDouble product = two_product(first, b);
    const double remainder = ((a.hi - product.hi) - product.lo) + a.lo;
    return two_sum(first, remainder / b);
}

/// Without loss for values of up to 106 bits.
[[nodiscard]] constexpr DoubleDouble to_double_double(Int128 value) noexcept {
    const auto hi = static_cast<double>(value);
    return {hi, static_cast<double>(value - static_cast<Int128>(hi))};
}

}  // namespace llmopt_stream
