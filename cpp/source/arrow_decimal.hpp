#pragma once

#include <cmath>
#include <cstdint>
#include <optional>

#include "source/arrow_column.hpp"
#include "source/arrow_number.hpp"

namespace llmopt_stream {

/// The number is unscaled / 10^scale.
struct ArrowDecimal {
    __extension__ using Int128 = __int128;

    Int128 unscaled;
    int scale;
};

/// A decimal at a row of the view. Requires such a type.
[[nodiscard]] inline ArrowDecimal load_arrow_decimal(ArrowType type, const ArrowColumnView& view,
                                                     std::size_t row) noexcept {
    const std::size_t place = view.first + row;
    switch (type.kind) {
        case ArrowKind::kDecimal32: return {load_at<std::int32_t>(view.data(), place), type.scale};
        case ArrowKind::kDecimal64: return {load_at<std::int64_t>(view.data(), place), type.scale};
        default: return {load_at<ArrowDecimal::Int128>(view.data(), place), type.scale};
    }
}

/// Correctly rounded for up to 15 digits; beyond, the last bit may be off.
[[nodiscard]] inline double to_float64(ArrowDecimal value) noexcept {
    // A power of ten is exact up to 10^22, correctly rounded by the C library beyond.
    const double power = std::pow(10.0, value.scale >= 0 ? value.scale : -value.scale);
    const auto unscaled = static_cast<double>(value.unscaled);
    return value.scale >= 0 ? unscaled / power : unscaled * power;
}

/// The value as an int64 if it is one.
[[nodiscard]] inline std::optional<std::int64_t> to_int64(ArrowDecimal value) noexcept {
    if (value.scale < 0) {
        return to_int64(to_float64(value));
    }
    for (; value.scale > 0 && value.unscaled != 0; --value.scale) {
        if (value.unscaled % 10 != 0) {
            return std::nullopt;
        }
        value.unscaled /= 10;
    }
    const auto narrow = static_cast<std::int64_t>(value.unscaled);
    return narrow == value.unscaled ? std::optional(narrow) : std::nullopt;
}

}  // namespace llmopt_stream
