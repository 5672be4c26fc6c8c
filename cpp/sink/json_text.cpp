#include "sink/json_text.hpp"

#include <array>
#include <charconv>
#include <cmath>

namespace llmopt_stream::json_text {
namespace {

/// The powers of ten between which Python writes a number without an exponent.
constexpr int kLeastPlainExponent = -4;
constexpr int kPlainExponentEnd = 16;

}  // namespace

void append_string(std::string& out, std::string_view text) {
    constexpr std::string_view kHex = "0123456789abcdef";
    out += '"';
    for (const char c : text) {
        switch (c) {
            case '"': out += "\\\""; break;
            case '\\': out += "\\\\"; break;
            case '\b': out += "\\b"; break;
            case '\f': out += "\\f"; break;
            case '\n': out += "\\n"; break;
            case '\r': out += "\\r"; break;
            case '\t': out += "\\t"; break;
            default:
                if (static_cast<unsigned char>(c) < 0x20) {
                    out += "\\u00";
                    out += kHex[static_cast<unsigned char>(c) >> 4U];
                    out += kHex[static_cast<unsigned char>(c) & 0xFU];
                } else {
                    out += c;
                }
        }
    }
    out += '"';
}

void append_number(std::string& out, double number) {
    if (!std::isfinite(number)) {
        out += "null";
        return;
    }
    std::array<char, 32> text{};
    // d[.ddd]e±dd
    const auto [end, error] =
        std::to_chars(text.data(), text.data() + text.size(), number, std::chars_format::scientific);
    static_cast<void>(error);
    const std::string_view scientific(text.data(), static_cast<std::size_t>(end - text.data()));
    const std::size_t e = scientific.find('e');
    int exponent = 0;
    const std::size_t digits_of_exponent = e + (scientific[e + 1] == '+' ? 2 : 1);
    std::from_chars(scientific.data() + digits_of_exponent, end, exponent);
    if (exponent < kLeastPlainExponent || exponent >= kPlainExponentEnd) {
        out += scientific;
        return;
    }
    std::string_view mantissa = scientific.substr(0, e);
    if (mantissa.front() == '-') {
        out += '-';
        mantissa.remove_prefix(1);
    }
    std::string digits(1, mantissa.front());
    digits += mantissa.substr(std::min<std::size_t>(2, mantissa.size()));
    if (exponent < 0) {
        out += "0.";
        out.append(static_cast<std::size_t>(-exponent - 1), '0');
        out += digits;
        return;
    }
    const auto whole = static_cast<std::size_t>(exponent) + 1;
    if (digits.size() < whole) {
        digits.append(whole - digits.size(), '0');
    }
    out += std::string_view(digits).substr(0, whole);
    out += '.';
    out += digits.size() == whole ? "0" : std::string_view(digits).substr(whole);
}

}  // namespace llmopt_stream::json_text
