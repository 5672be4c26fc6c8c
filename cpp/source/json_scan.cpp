#include "source/json_scan.hpp"

#include <array>
#include <charconv>
#include <cstddef>
#include <cstring>
#include <limits>
#include <system_error>

#include "record/ascii_digits.hpp"

namespace llmopt_stream::json_scan {
namespace {

constexpr auto kEndsToken = [] {
    std::array<bool, 256> ends{};
    for (const char c : {' ', '\t', '\n', '\r', ',', ':', ']', '}'}) {
        ends[static_cast<unsigned char>(c)] = true;
    }
    return ends;
}();

bool ends_token(char c) { return kEndsToken[static_cast<unsigned char>(c)]; }

unsigned digit(char c) { return static_cast<unsigned char>(c) - unsigned{'0'}; }
bool is_digit(char c) { return digit(c) <= 9; }

// Eight digits at a time: numbers differ in length from record to record, and a loop
// over single digits is mispredicted at its end.
const char* skip_digits(const char* at) {
    unsigned count = 0;
    do {
        count = ascii_digits::count_leading_digits(ascii_digits::load(at));
        at += count;
    } while (count == 8);
    return at;
}

/// Reads digits behind those that `value` has (modulo 2^64).
const char* read_digits(const char* at, std::uint64_t& value) {
    static constexpr std::array<std::uint64_t, 9> kPowersOfTen = {
        1, 10, 100, 1'000, 10'000, 100'000, 1'000'000, 10'000'000, 100'000'000};
    unsigned count = 0;
    do {
        const std::uint64_t word = ascii_digits::load(at);
        count = ascii_digits::count_leading_digits(word);
        if (count == 0) {
            break;
        }
        value = value * kPowersOfTen[count] + ascii_digits::value(word, count);
        at += count;
    } while (count == 8);
    return at;
}

const char* skip_null(const char* at) {
    return std::memcmp(at, "null", 4) == 0 && ends_token(at[4]) ? at + 4 : nullptr;
}

const char* skip_bool(const char* at) {
    if (std::memcmp(at, "true", 4) == 0 && ends_token(at[4])) {
        return at + 4;
    }
    return std::memcmp(at, "false", 5) == 0 && ends_token(at[5]) ? at + 5 : nullptr;
}

/// The parts of a number as written: digits * 10^exponent.
struct Decimal {
    const char* begin = nullptr;
    const char* end = nullptr;
    bool negative = false;
    bool integral = true;
    /// Of the integral part and, if not integral, of the fraction; leading zeros included.
    std::size_t digit_count = 0;
    std::size_t integral_digits = 0;
    /// Modulo 2^64: exact up to 19 digits.
    std::uint64_t digits = 0;
    std::int64_t exponent = 0;
};

// Beyond any exponent that matters, yet far from overflowing.
constexpr std::int64_t kHugeExponent = 1'000'000'000;

bool read_decimal(const char* at, Decimal& decimal) {
    decimal.begin = at;
    decimal.negative = *at == '-';
    at += decimal.negative ? 1 : 0;

    const char* const integral = at;
    std::uint64_t digits = 0;
    if (*at == '0') {
        ++at;
    } else {
        at = read_digits(at, digits);
        if (at == integral) {
            return false;
        }
    }
    decimal.integral_digits = static_cast<std::size_t>(at - integral);
    decimal.digit_count = decimal.integral_digits;

    if (*at == '.') {
        decimal.integral = false;
        const char* const fraction = ++at;
        at = read_digits(at, digits);
        if (at == fraction) {
            return false;
        }
        decimal.digit_count += static_cast<std::size_t>(at - fraction);
        decimal.exponent = -(at - fraction);
    }
    if (*at == 'e' || *at == 'E') {
        decimal.integral = false;
        ++at;
        const bool negative = *at == '-';
        at += *at == '-' || *at == '+' ? 1 : 0;
        const char* const exponent_digits = at;
        std::int64_t exponent = 0;
        for (; is_digit(*at); ++at) {
            if (exponent < kHugeExponent) {
                exponent = exponent * 10 + digit(*at);
            }
        }
        if (at == exponent_digits) {
            return false;
        }
        decimal.exponent += negative ? -exponent : exponent;
    }
    decimal.digits = digits;
    decimal.end = at;
    return ends_token(*at);
}

/// Whether the digits, which are beyond double's range, are too large and not too small.
bool overflows(const Decimal& decimal) {
    // The power of ten of the first digit that is not zero.
    std::int64_t power = static_cast<std::int64_t>(decimal.integral_digits) - 1;
    const char* at = decimal.begin + (decimal.negative ? 1 : 0);
    for (; *at == '0' || *at == '.'; ++at) {
        power -= *at == '0' ? 1 : 0;
    }
    if (!is_digit(*at)) {
        return false;
    }
    std::int64_t exponent = decimal.exponent;
    if (!decimal.integral) {
        // `exponent` also counts the digits of the fraction.
        exponent += static_cast<std::int64_t>(decimal.digit_count - decimal.integral_digits);
    }
    return power + exponent > 0;
}

double to_double(const Decimal& decimal) {
    static constexpr std::array<double, 23> kPowersOfTen = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
                                                            1e8,  1e9,  1e10, 1e11, 1e12, 1e13, 1e14, 1e15,
                                                            1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};
    constexpr std::uint64_t kExactIntegers = std::uint64_t{1} << 53;
    constexpr std::size_t kExactDigits = 19;
    // Both operands are exact, so the one rounding of the division gives the nearest double
    // (Clinger, How to read floating point numbers accurately, 1990).
    if (decimal.digit_count <= kExactDigits && decimal.digits <= kExactIntegers && decimal.exponent >= -22 &&
        decimal.exponent <= 22) {
        const auto digits = static_cast<double>(decimal.digits);
        const double value = decimal.exponent < 0
                                 ? digits / kPowersOfTen[static_cast<std::size_t>(-decimal.exponent)]
                                 : digits * kPowersOfTen[static_cast<std::size_t>(decimal.exponent)];
        return decimal.negative ? -value : value;
    }
    double value = 0;
    if (std::from_chars(decimal.begin, decimal.end, value).ec == std::errc::result_out_of_range) {
        value = overflows(decimal) ? std::numeric_limits<double>::infinity() : 0.0;
        return decimal.negative ? -value : value;
    }
    return value;
}

/// Whether `digits` is the integer as written.
bool fits_uint64(const Decimal& decimal) {
    // Twenty digits that fit start with 1, and the remainder of larger ones is below 10^19.
    constexpr std::uint64_t kTwentyDigits = 10'000'000'000'000'000'000U;
    return decimal.digit_count < 20 ||
           (decimal.digit_count == 20 && *(decimal.end - 20) == '1' && decimal.digits >= kTwentyDigits);
}

int hex_digit(char c) {
    if (is_digit(c)) {
        return static_cast<int>(digit(c));
    }
    const char lower = static_cast<char>(c | 0x20);
    return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

/// The four digits at the front of `text`, which is shortened by them; negative if they are none.
std::int32_t read_code_unit(std::string_view& text) {
    if (text.size() < 4) {
        return -1;
    }
    std::int32_t unit = 0;
    for (const char c : text.substr(0, 4)) {
        const int value = hex_digit(c);
        if (value < 0) {
            return -1;
        }
        unit = unit * 16 + value;
    }
    text.remove_prefix(4);
    return unit;
}

void append_utf8(std::string& out, std::uint32_t code_point) {
    const auto continuation = [&](unsigned shift) {
        out.push_back(static_cast<char>(0x80 | ((code_point >> shift) & 0x3F)));
    };
    if (code_point < 0x80) {
        out.push_back(static_cast<char>(code_point));
    } else if (code_point < 0x800) {
        out.push_back(static_cast<char>(0xC0 | (code_point >> 6)));
        continuation(0);
    } else if (code_point < 0x10000) {
        out.push_back(static_cast<char>(0xE0 | (code_point >> 12)));
        continuation(6);
        continuation(0);
    } else {
        out.push_back(static_cast<char>(0xF0 | (code_point >> 18)));
        continuation(12);
        continuation(6);
        continuation(0);
    }
}

/// The rest of an escape \u....; false if it is no character.
bool append_unicode_escape(std::string_view& text, std::string& out) {
    const std::int32_t unit = read_code_unit(text);
    const bool is_surrogate = unit >= 0xD800 && unit <= 0xDFFF;
    if (unit < 0 || (is_surrogate && unit >= 0xDC00)) {
        return false;
    }
    if (!is_surrogate) {
        append_utf8(out, static_cast<std::uint32_t>(unit));
        return true;
    }
    if (!text.starts_with("\\u")) {
        return false;
    }
    text.remove_prefix(2);
    const std::int32_t low = read_code_unit(text);
    if (low < 0xDC00 || low > 0xDFFF) {
        return false;
    }
    append_utf8(out, 0x10000U + (static_cast<std::uint32_t>(unit - 0xD800) << 10) +
                         static_cast<std::uint32_t>(low - 0xDC00));
    return true;
}

}  // namespace

const char* skip_literal_or_number(const char* at) noexcept {
    if (*at >= 'a') {
        return *at == 'n' ? skip_null(at) : skip_bool(at);
    }
    // The grammar of read_decimal() without the digits' value, which costs a chain of multiplications.
    at += *at == '-' ? 1 : 0;
    const char* const integral = at;
    at = *at == '0' ? at + 1 : skip_digits(at);
    if (at == integral) {
        return nullptr;
    }
    if (*at == '.') {
        const char* const fraction = at + 1;
        at = skip_digits(fraction);
        if (at == fraction) {
            return nullptr;
        }
    }
    if (*at == 'e' || *at == 'E') {
        ++at;
        at += *at == '-' || *at == '+' ? 1 : 0;
        const char* const exponent = at;
        at = skip_digits(exponent);
        if (at == exponent) {
            return nullptr;
        }
    }
    return ends_token(*at) ? at : nullptr;
}

const char* read_literal_or_number(const char* at, Scalar& scalar) noexcept {
    if (*at >= 'a') {
        scalar.kind = *at == 'n' ? Scalar::Kind::kNull : Scalar::Kind::kBool;
        scalar.boolean = *at == 't';
        return *at == 'n' ? skip_null(at) : skip_bool(at);
    }
    Decimal decimal;
    if (!read_decimal(at, decimal)) {
        return nullptr;
    }
    constexpr auto kMaxInt64 = static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max());
    if (!decimal.integral || !fits_uint64(decimal)) {
        scalar.kind = decimal.integral ? Scalar::Kind::kWideInteger : Scalar::Kind::kDouble;
        scalar.float64 = to_double(decimal);
    } else if (decimal.digits <= kMaxInt64 + (decimal.negative ? 1 : 0)) {
        scalar.kind = Scalar::Kind::kInt64;
        scalar.int64 = static_cast<std::int64_t>(decimal.negative ? 0 - decimal.digits : decimal.digits);
    } else if (decimal.negative) {
        scalar.kind = Scalar::Kind::kWideInteger;
        scalar.float64 = -static_cast<double>(decimal.digits);
    } else {
        scalar.kind = Scalar::Kind::kUint64;
        scalar.uint64 = decimal.digits;
    }
    return decimal.end;
}

bool unescape(std::string_view text, std::string& unescaped) {
    unescaped.clear();
    for (;;) {
        const std::size_t escape = text.find('\\');
        unescaped.append(text.substr(0, escape));
        if (escape == std::string_view::npos) {
            return true;
        }
        if (escape + 1 == text.size()) {
            return false;
        }
        const char kind = text[escape + 1];
        text.remove_prefix(escape + 2);
        switch (kind) {
            case '"':
            case '\\':
            case '/': unescaped.push_back(kind); break;
            case 'b': unescaped.push_back('\b'); break;
            case 'f': unescaped.push_back('\f'); break;
            case 'n': unescaped.push_back('\n'); break;
            case 'r': unescaped.push_back('\r'); break;
            case 't': unescaped.push_back('\t'); break;
            case 'u':
                if (!append_unicode_escape(text, unescaped)) {
                    return false;
                }
                break;
            default: return false;
        }
    }
}

}  // namespace llmopt_stream::json_scan
