#include "record/key.hpp"

#include <bit>
#include <cmath>
#include <cstring>
#include <type_traits>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "record/error.hpp"

namespace llmopt_stream {
namespace {

enum Tag : char { kNull = 1, kFalse = 2, kTrue = 3, kNumber = 4, kText = 5 };

// A number is its double in order-preserving form, then, for integers, the exact
// value: it decides between integers beyond 2^53 that share a double.
enum Exactness : char { kNegative = 1, kNonNegative = 2, kFraction = 3 };

constexpr std::uint64_t kSignBit = std::uint64_t{1} << 63;

void append_big_endian(std::string& out, std::uint64_t bits) {
    bits = __builtin_bswap64(bits);
    char bytes[sizeof(bits)];
    std::memcpy(bytes, &bits, sizeof(bits));
    out.append(bytes, sizeof(bits));
}

std::uint64_t read_big_endian(const char* bytes) {
    std::uint64_t bits = 0;
    std::memcpy(&bits, bytes, sizeof(bits));
    return __builtin_bswap64(bits);
}

std::uint64_t ordered_bits(double value) {
    const auto bits = std::bit_cast<std::uint64_t>(value);
    return (bits & kSignBit) != 0 ? ~bits : bits | kSignBit;
}

double from_ordered_bits(std::uint64_t bits) {
    return std::bit_cast<double>((bits & kSignBit) != 0 ? bits ^ kSignBit : ~bits);
}

void append_number(std::string& out, double approximation, Exactness exactness, std::uint64_t exact) {
    out.push_back(kNumber);
    append_big_endian(out, ordered_bits(approximation));
    out.push_back(exactness);
    append_big_endian(out, exact);
}

constexpr std::size_t kNumberBytes = 17;

std::string text_of_field(const KeyValue& field) {
    return std::visit(
        [](const auto& value) -> std::string {
            using Value = std::decay_t<decltype(value)>;
            if constexpr (std::is_same_v<Value, std::monostate>) {
                return "null";
            } else if constexpr (std::is_same_v<Value, bool>) {
                return value ? "true" : "false";
            } else if constexpr (std::is_same_v<Value, std::string>) {
                return "'" + value + "'";
            } else {
                return std::to_string(value);
            }
        },
        field);
}

[[noreturn]] void corrupt() { throw Error(ErrorKind::kState, "grouping key: bytes are not an encoded key"); }

}  // namespace

namespace key_encoding {

void append_null(std::string& out) { out.push_back(kNull); }

void append_bool(std::string& out, bool value) { out.push_back(value ? kTrue : kFalse); }

void append_int(std::string& out, std::int64_t value) {
    append_number(out, static_cast<double>(value), value < 0 ? kNegative : kNonNegative,
                  static_cast<std::uint64_t>(value));
}

void append_uint(std::string& out, std::uint64_t value) {
    append_number(out, static_cast<double>(value), kNonNegative, value);
}

void append_double(std::string& out, double value) {
    if (std::isnan(value)) {
        append_number(out, std::numeric_limits<double>::quiet_NaN(), kFraction, 0);
    } else if (value == std::floor(value) && value >= -0x1p63 && value < 0x1p63) {
        append_int(out, static_cast<std::int64_t>(value));
    } else if (value == std::floor(value) && value > 0 && value < 0x1p64) {
        append_uint(out, static_cast<std::uint64_t>(value));
    } else {
        append_number(out, value, kFraction, 0);
    }
}

void append_text(std::string& out, std::string_view value) {
    out.push_back(kText);
    // A zero byte ends the text; one inside it is written as 0x00 0xFF, which sorts
    // after the end and before everything else.
    if (std::memchr(value.data(), 0, value.size()) == nullptr) {
        out.append(value);
    } else {
        for (const char c : value) {
            out.push_back(c);
            if (c == '\0') {
                out.push_back('\xFF');
            }
        }
    }
    out.push_back('\0');
}

void append(std::string& out, const KeyValue& value) {
    switch (value.index()) {
        case 0: append_null(out); break;
        case 1: append_bool(out, std::get<bool>(value)); break;
        case 2: append_int(out, std::get<std::int64_t>(value)); break;
        case 3: append_uint(out, std::get<std::uint64_t>(value)); break;
        case 4: append_double(out, std::get<double>(value)); break;
        default: append_text(out, std::get<std::string>(value)); break;
    }
}

ScalarKind kind_of(std::string_view encoded) noexcept {
    switch (encoded.front()) {
        case kNull: return ScalarKind::kNull;
        case kNumber: return ScalarKind::kNumber;
        case kText: return ScalarKind::kText;
        default: return ScalarKind::kBool;
    }
}

bool is_true(std::string_view encoded) noexcept { return encoded.front() == kTrue; }

bool is_not_finite(std::string_view encoded) noexcept {
    return kind_of(encoded) == ScalarKind::kNumber && encoded[9] == kFraction &&
           !std::isfinite(from_ordered_bits(read_big_endian(encoded.data() + 1)));
}

bool is_plain_text(std::string_view encoded) noexcept {
    return encoded.starts_with(kText) && encoded.find('\0') == encoded.size() - 1;
}

std::string text_of(std::string_view encoded) {
    std::string text = "(";
    for (const KeyValue& field : decode(encoded)) {
        text += (text.size() == 1 ? "" : ", ") + text_of_field(field);
    }
    return text + ")";
}

std::vector<KeyValue> decode(std::string_view encoded) {
    std::vector<KeyValue> values;
    std::size_t at = 0;
    while (at < encoded.size()) {
        switch (encoded[at++]) {
            case kNull: values.emplace_back(std::monostate{}); break;
            case kFalse: values.emplace_back(false); break;
            case kTrue: values.emplace_back(true); break;
            case kNumber: {
                if (encoded.size() - at < kNumberBytes) {
                    corrupt();
                }
                const double approximation = from_ordered_bits(read_big_endian(encoded.data() + at));
                const char exactness = encoded[at + 8];
                const std::uint64_t exact = read_big_endian(encoded.data() + at + 9);
                at += kNumberBytes;
                if (exactness == kFraction) {
                    values.emplace_back(approximation);
                } else if (exactness == kNonNegative && (exact & kSignBit) != 0) {
                    values.emplace_back(exact);
                } else {
                    values.emplace_back(static_cast<std::int64_t>(exact));
                }
                break;
            }
            case kText: {
                std::string text;
                for (;;) {
                    const std::size_t end = encoded.find('\0', at);
                    if (end == std::string_view::npos) {
                        corrupt();
                    }
                    text.append(encoded.substr(at, end - at));
                    at = end + 1;
                    if (at < encoded.size() && encoded[at] == '\xFF') {
                        text.push_back('\0');
                        ++at;
                    } else {
                        break;
                    }
                }
                values.emplace_back(std::move(text));
                break;
            }
            default: corrupt();
        }
    }
    return values;
}

}  // namespace key_encoding

std::uint64_t hash_key(std::string_view encoded) noexcept {
    return XXH3_64bits(encoded.data(), encoded.size());
}

}  // namespace llmopt_stream
