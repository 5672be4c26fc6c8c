#pragma once

#include <compare>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "record/int128.hpp"

namespace llmopt_stream {

/// Stands for a value: among n random values some two share one with probability n² / 2^129.
/// Never all zero. The same on every machine, but no secret: whoever chooses the values and
/// means to can find two that share one.
struct ValueHash {
    std::uint64_t high = 0;
    std::uint64_t low = 0;

    [[nodiscard]] static ValueHash of(std::string_view encoded) noexcept;
    [[nodiscard]] bool is_zero() const noexcept { return (high | low) == 0; }
    friend auto operator<=>(const ValueHash&, const ValueHash&) = default;
};

/// Spreads a hash over [0, size), in the order of the hashes.
[[nodiscard]] inline std::size_t scaled(std::uint64_t hash, std::size_t size) noexcept {
    return static_cast<std::size_t>((static_cast<UInt128>(hash) * size) >> 64);
}

}  // namespace llmopt_stream
