#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace llmopt_stream::json_scan {

/// A JSON scalar. Text is as written, escapes included.
struct Scalar {
    enum class Kind : std::uint8_t { kNull, kBool, kInt64, kUint64, kWideInteger, kDouble, kText };
    Kind kind = Kind::kNull;
    bool boolean = false;
    std::int64_t int64 = 0;
    std::uint64_t uint64 = 0;  ///< only beyond int64
    double float64 = 0;        ///< also integers beyond 64 bits; infinite where the digits overflow
    std::string_view text;
};

/// Reads the number, true, false or null that starts at `at` and returns its end; null if it
/// is none, or is not followed by white space or one of `,:]}`. The token must be followed by a
/// byte that is no digit, and eight bytes behind it must be readable.
[[nodiscard]] const char* read_literal_or_number(const char* at, Scalar& scalar) noexcept;

/// What read_literal_or_number() returns, without its result.
[[nodiscard]] const char* skip_literal_or_number(const char* at) noexcept;

/// Replaces the escapes of a JSON string's content; false if one is none of RFC 8259's or
/// stands for half of a surrogate pair.
[[nodiscard]] bool unescape(std::string_view text, std::string& unescaped);

}  // namespace llmopt_stream::json_scan
