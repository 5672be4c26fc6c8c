#pragma once

#include <cstdint>
#include <string>

#include "record/arrow_c_data.hpp"
#include "record/schema.hpp"

namespace llmopt_stream {

/// The Arrow types that can serve as time, value or key. kOther is everything else.
enum class ArrowKind : std::uint8_t {
    kOther,
    kNull,
    kBool,
    kInt8,
    kUint8,
    kInt16,
    kUint16,
    kInt32,
    kUint32,
    kInt64,
    kUint64,
    kFloat16,
    kFloat32,
    kFloat64,
    kDecimal32,
    kDecimal64,
    kDecimal128,
    kText,
    kLargeText,
    kTextView,
    kDate32,
    kDate64,
    kTimestamp,
    kStruct,
};

struct ArrowType {
    ArrowKind kind = ArrowKind::kOther;
    /// Of timestamps.
    TimeUnit unit = TimeUnit::kMicrosecond;
    /// Of decimals: the number is the stored integer / 10^scale.
    int scale = 0;
};

/// Reads a format string of the C data interface; null is kOther.
[[nodiscard]] ArrowType parse_arrow_format(const char* format) noexcept;

/// The type of a field as people write it: "timestamp[ms]", "dictionary<utf8>", "list".
[[nodiscard]] std::string arrow_type_name(const ArrowSchema& field);

[[nodiscard]] bool is_integer(ArrowKind kind) noexcept;
[[nodiscard]] bool is_float(ArrowKind kind) noexcept;
[[nodiscard]] bool is_decimal(ArrowKind kind) noexcept;
[[nodiscard]] bool is_text(ArrowKind kind) noexcept;
/// A date or a timestamp.
[[nodiscard]] bool is_time(ArrowKind kind) noexcept;

}  // namespace llmopt_stream
