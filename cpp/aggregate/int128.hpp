#pragma once

#include "aggregate/double_double.hpp"

namespace llmopt_stream {

/// Sums of integer columns.
__extension__ typedef __int128 Int128;

/// Without loss for values of up to 106 bits.
[[nodiscard]] constexpr DoubleDouble to_double_double(Int128 value) noexcept {
    const auto hi = static_cast<double>(value);
    return {hi, static_cast<double>(value - static_cast<Int128>(hi))};
}

}  // namespace llmopt_stream
