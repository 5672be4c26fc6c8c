#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace llmopt_stream {

/// One field of a grouping key. Absent and null fields are std::monostate.
using KeyValue = std::variant<std::monostate, bool, std::int64_t, std::uint64_t, double, std::string>;

/// Grouping keys travel as bytes whose memcmp order is the order of the values:
/// null < false < true < numbers < text; fields compare left to right. Equal
/// numbers have equal bytes whatever their type (1 and 1.0; -0.0 is 0; every NaN
/// is one value, after all other numbers). Text compares by code point.
namespace key_encoding {

void append_null(std::string& out);
void append_bool(std::string& out, bool value);
void append_int(std::string& out, std::int64_t value);
void append_uint(std::string& out, std::uint64_t value);
void append_double(std::string& out, double value);
void append_text(std::string& out, std::string_view value);
void append(std::string& out, const KeyValue& value);

enum class ScalarKind : std::uint8_t { kNull, kBool, kNumber, kText };
/// What the first field of a key is.
[[nodiscard]] ScalarKind kind_of(std::string_view encoded) noexcept;
/// Whether a key is `true` alone.
[[nodiscard]] bool is_true(std::string_view encoded) noexcept;
/// Whether a key is one number that is NaN or infinite.
[[nodiscard]] bool is_not_finite(std::string_view encoded) noexcept;

/// Whether a key is one text without zero bytes; these bytes then lie between the first and
/// the last one of the key.
[[nodiscard]] bool is_plain_text(std::string_view encoded) noexcept;
/// What such a key has besides the text: a byte before it and one behind it.
inline constexpr std::size_t kPlainTextBytes = 2;

/// As messages show it: `('gpt-4o', 3)`.
[[nodiscard]] std::string text_of(std::string_view encoded);

/// The fields of an encoded key. Throws Error(kState) on bytes that no append wrote.
[[nodiscard]] std::vector<KeyValue> decode(std::string_view encoded);

}  // namespace key_encoding

/// A hash that is the same in every process and on every machine: it also chooses shards.
[[nodiscard]] std::uint64_t hash_key(std::string_view encoded) noexcept;

}  // namespace llmopt_stream
