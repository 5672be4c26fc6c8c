#pragma once

#include <bit>
#include <cstdint>
#include <cstring>

namespace llmopt_stream::ascii_digits {

// Eight characters at a time in one integer, the first one in its lowest byte.
static_assert(std::endian::native == std::endian::little);

inline constexpr std::uint64_t kZeros = 0x3030303030303030;  // '0' eight times
inline constexpr std::uint64_t kHighBits = 0x8080808080808080;
/// Added to a digit's value, leaves the high bit alone; added to anything greater, sets it.
inline constexpr std::uint64_t kAboveNine = 0x7676767676767676;

[[nodiscard]] inline std::uint64_t load(const char* text) noexcept {
    std::uint64_t word = 0;
    std::memcpy(&word, text, sizeof(word));
    return word;
}

/// How many digits the eight characters begin with.
[[nodiscard]] inline unsigned count_leading_digits(std::uint64_t word) noexcept {
    const std::uint64_t values = word ^ kZeros;
    // A carry out of a byte that is no digit disturbs only later ones.
    return static_cast<unsigned>(std::countr_zero(((values + kAboveNine) | values) & kHighBits)) / 8;
}

/// The number that the first `count` characters, all digits, are. count in [1, 8].
[[nodiscard]] inline std::uint64_t value(std::uint64_t word, unsigned count) noexcept {
    // Digits move to the high bytes, zeros come in before them; then neighbours are joined
    // to numbers of two, four and eight digits.
    std::uint64_t values = (word ^ kZeros) << (8 * (8 - count));
    values = (values * 10 + (values >> 8)) & 0x00FF00FF00FF00FF;
    values = (values * 100 + (values >> 16)) & 0x0000FFFF0000FFFF;
    return (values * 10000 + (values >> 32)) & 0xFFFFFFFF;
}

}  // namespace llmopt_stream::ascii_digits
