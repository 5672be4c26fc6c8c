#pragma once

#include <bit>
#include <cmath>
#include <cstdint>
#include <optional>

#include "source/arrow_column.hpp"

namespace llmopt_stream {

/// float16, as stored.
struct ArrowHalf {
    std::uint16_t bits;

    [[nodiscard]] explicit operator double() const noexcept {
        const int exponent = (bits >> 10) & 0x1F;
        const int fraction = bits & 0x3FF;
        double magnitude = 0;
        if (exponent == 0x1F) {
            magnitude = fraction == 0 ? HUGE_VAL : std::numeric_limits<double>::quiet_NaN();
        } else if (exponent == 0) {
            magnitude = std::ldexp(fraction, -24);
        } else {
            magnitude = std::ldexp(fraction + 0x400, exponent - 25);
        }
        return (bits & 0x8000) != 0 ? -magnitude : magnitude;
    }
};

/// The value as an int64 if it is one.
[[nodiscard]] inline std::optional<std::int64_t> to_int64(double value) noexcept {
    if (value >= -0x1p63 && value < 0x1p63 && value == std::trunc(value)) {
        return static_cast<std::int64_t>(value);
    }
    return std::nullopt;
}
[[nodiscard]] inline std::optional<std::int64_t> to_int64(std::int64_t value) noexcept { return value; }
[[nodiscard]] inline std::optional<std::int64_t> to_int64(std::uint64_t value) noexcept {
    return value >> 63 == 0 ? std::optional(static_cast<std::int64_t>(value)) : std::nullopt;
}

/// Calls visit(load) where load(place) gives the integer or float at a place of the view's
/// buffer as an int64_t, uint64_t or double. Requires such a type.
template <typename Visit>
void with_arrow_numbers(ArrowKind kind, const ArrowColumnView& view, Visit visit) {
    const void* data = view.data();
    const std::size_t first = view.first;
    const auto load = [&]<typename Stored, typename Wide>(Stored, Wide) {
        visit(
            [data, first](std::size_t row) { return static_cast<Wide>(load_at<Stored>(data, first + row)); });
    };
    switch (kind) {
        case ArrowKind::kInt8: return load(std::int8_t{}, std::int64_t{});
        case ArrowKind::kUint8: return load(std::uint8_t{}, std::int64_t{});
        case ArrowKind::kInt16: return load(std::int16_t{}, std::int64_t{});
        case ArrowKind::kUint16: return load(std::uint16_t{}, std::int64_t{});
        case ArrowKind::kInt32: return load(std::int32_t{}, std::int64_t{});
        case ArrowKind::kUint32: return load(std::uint32_t{}, std::int64_t{});
        case ArrowKind::kInt64: return load(std::int64_t{}, std::int64_t{});
        case ArrowKind::kUint64: return load(std::uint64_t{}, std::uint64_t{});
        case ArrowKind::kFloat16: return load(ArrowHalf{}, double{});
        case ArrowKind::kFloat32: return load(float{}, double{});
        default: return load(double{}, double{});
    }
}

}  // namespace llmopt_stream
