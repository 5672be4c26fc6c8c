#include "source/json_scan.hpp"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstdlib>
#include <limits>
#include <random>
#include <string>

namespace llmopt_stream::json_scan {
namespace {

using Kind = Scalar::Kind;

/// The scalar that a JSON text is, as if a comma followed.
std::optional<Scalar> scalar_of(const std::string& text) {
    const std::string padded = text + "," + std::string(16, '7');
    Scalar scalar;
    const char* const end = read_literal_or_number(padded.data(), scalar);
    EXPECT_EQ(skip_literal_or_number(padded.data()), end) << text;
    EXPECT_TRUE(end == nullptr || end == padded.data() + text.size()) << text;
    return end != nullptr ? std::optional(scalar) : std::nullopt;
}

void expect_double(const std::string& text, double value) {
    const std::optional<Scalar> scalar = scalar_of(text);
    ASSERT_TRUE(scalar.has_value()) << text;
    const bool is_integer = text.find_first_of(".eE") == std::string::npos;
    ASSERT_EQ(scalar->kind, is_integer ? Kind::kWideInteger : Kind::kDouble) << text;
    EXPECT_EQ(std::bit_cast<std::uint64_t>(scalar->float64), std::bit_cast<std::uint64_t>(value)) << text;
}

void expect_integer(const std::string& text, std::int64_t value) {
    const std::optional<Scalar> scalar = scalar_of(text);
    ASSERT_TRUE(scalar.has_value()) << text;
    ASSERT_EQ(scalar->kind, Kind::kInt64) << text;
    EXPECT_EQ(scalar->int64, value) << text;
}

TEST(JsonScan, ReadsLiterals) {
    EXPECT_EQ(scalar_of("null")->kind, Kind::kNull);
    EXPECT_EQ(scalar_of("true")->kind, Kind::kBool);
    EXPECT_TRUE(scalar_of("true")->boolean);
    EXPECT_FALSE(scalar_of("false")->boolean);
}

TEST(JsonScan, RefusesWhatIsNoLiteral) {
    for (const char* text : {"nul",   "nulll", "nullx",     "null\"", "NULL", "True",     "tru",
                             "truee", "fals",  "falsee",    "nan",    "NaN",  "Infinity", "-Infinity",
                             "-NaN",  "inf",   "undefined", "",       "\x01", "\xFF",     "\x0C"}) {
        EXPECT_FALSE(scalar_of(text).has_value()) << text;
    }
}

TEST(JsonScan, ReadsIntegersOfEveryLength) {
    expect_integer("0", 0);
    expect_integer("-0", 0);
    std::string digits;
    std::int64_t value = 0;
    for (const char digit : std::string("1234567890123456789")) {
        digits += digit;
        value = value * 10 + (digit - '0');
        expect_integer(digits, value);
        expect_integer("-" + digits, -value);
    }
    expect_integer("9223372036854775807", std::numeric_limits<std::int64_t>::max());
    expect_integer("-9223372036854775808", std::numeric_limits<std::int64_t>::min());
}

TEST(JsonScan, ReadsIntegersBeyondInt64) {
    EXPECT_EQ(scalar_of("9223372036854775808")->kind, Kind::kUint64);
    EXPECT_EQ(scalar_of("9223372036854775808")->uint64, std::uint64_t{1} << 63);
    EXPECT_EQ(scalar_of("9999999999999999999")->uint64, 9'999'999'999'999'999'999U);
    EXPECT_EQ(scalar_of("10000000000000000000")->uint64, 10'000'000'000'000'000'000U);
    EXPECT_EQ(scalar_of("18446744073709551615")->uint64, std::numeric_limits<std::uint64_t>::max());
    expect_double("18446744073709551616", 0x1p64);
    expect_double("19999999999999999999", 19999999999999999999.0);
    expect_double("20000000000000000000", 2e19);
    expect_double("99999999999999999999", 1e20);
    expect_double("100000000000000000000000", 1e23);
    expect_double("-9223372036854775809", -0x1p63);
    expect_double("-18446744073709551615", -0x1p64);
    expect_double("-18446744073709551616", -0x1p64);
}

TEST(JsonScan, ReadsFractionsAndExponents) {
    expect_double("0.0", 0.0);
    expect_double("-0.0", -0.0);
    expect_double("812.31", 812.31);
    expect_double("0.0123", 0.0123);
    expect_double("1e0", 1.0);
    expect_double("1E+2", 100.0);
    expect_double("12.5e-1", 1.25);
    expect_double("1e22", 1e22);
    expect_double("1e23", 1e23);
    expect_double("9007199254740993.0", 9007199254740992.0);
    expect_double("0.1234567890123456789012345", 0.1234567890123456789012345);
    expect_double("4.9406564584124654e-324", std::numeric_limits<double>::denorm_min());
    expect_double("1.7976931348623157e308", std::numeric_limits<double>::max());
}

TEST(JsonScan, NumbersBeyondDoubleAreInfiniteOrZero) {
    expect_double("1e999", HUGE_VAL);
    expect_double("-1e999", -HUGE_VAL);
    expect_double("1.8e308", HUGE_VAL);
    expect_double("1e99999999999999999999", HUGE_VAL);
    expect_double(std::string(400, '9'), HUGE_VAL);
    expect_double("0.00001e400", HUGE_VAL);
    expect_double("1e-999", 0.0);
    expect_double("-1e-999", -0.0);
    expect_double("1e-99999999999999999999", 0.0);
    expect_double("123456789e-400", 0.0);
    expect_double("0." + std::string(400, '0') + "1", 0.0);
    expect_double("0e999", 0.0);
    expect_double("-0.000e999", -0.0);
    expect_double("0.0000000000000000000000000e99999", 0.0);
    expect_double("0." + std::string(400, '0') + "1e401", 1.0);
}

TEST(JsonScan, RefusesWhatIsNoNumber) {
    for (const char* text :
         {"01", "-01", "00",           "+1",   "-",     "--1",   "1.",    "-1.",  ".5",    "-.5", "1.e5",
          "1e", "1e+", "1e-",          "1E",   "1ee5",  "1.2.3", "1e5.5", "0x10", "1_000", "1a",  "1\"",
          "1-", "1+1", "12345678901x", "1.5f", "1\x0C", "1\x1A"}) {
        EXPECT_FALSE(scalar_of(text).has_value()) << text;
    }
}

TEST(JsonScan, EveryTokenEndIsAccepted) {
    for (const char end : {' ', '\t', '\n', '\r', ',', ':', ']', '}'}) {
        Scalar scalar;
        const std::string number = std::string("12") + end + std::string(16, '7');
        EXPECT_EQ(read_literal_or_number(number.data(), scalar), number.data() + 2) << static_cast<int>(end);
        const std::string literal = std::string("true") + end + std::string(16, '7');
        EXPECT_EQ(read_literal_or_number(literal.data(), scalar), literal.data() + 4)
            << static_cast<int>(end);
    }
}

TEST(JsonScan, RandomDecimalsAreTheNearestDoubles) {
    std::mt19937_64 random(20260101);
    const auto digits = [&](std::size_t count) {
        std::string text;
        for (std::size_t i = 0; i < count; ++i) {
            text += static_cast<char>('0' + random() % 10);
        }
        return text;
    };
    for (int i = 0; i < 200'000; ++i) {
        std::string text = random() % 2 == 0 ? "-" : "";
        const std::string integral = digits(1 + random() % 22);
        text += integral.front() == '0' ? "0" : integral;
        text += "." + digits(1 + random() % 22);
        if (random() % 2 == 0) {
            text += "e" + std::to_string(static_cast<int>(random() % 700) - 350);
        }
        expect_double(text, std::strtod(text.c_str(), nullptr));
    }
}

std::optional<std::string> unescaped(std::string_view text) {
    std::string out = "left over";
    return unescape(text, out) ? std::optional(out) : std::nullopt;
}

TEST(JsonScan, UnescapesWhatRfc8259Allows) {
    EXPECT_EQ(unescaped(""), "");
    EXPECT_EQ(unescaped("plain"), "plain");
    EXPECT_EQ(unescaped(R"(\"\\\/\b\f\n\r\t)"), "\"\\/\b\f\n\r\t");
    EXPECT_EQ(unescaped(R"(a\u0041\u00e9\u20AC!)"), "aA\u00e9\u20ac!");
    EXPECT_EQ(unescaped(R"(\u0000)"), std::string(1, '\0'));
    EXPECT_EQ(unescaped(R"(\ud83d\ude00)"), "\U0001F600");
    EXPECT_EQ(unescaped(R"(\uDBFF\uDFFF)"), "\U0010FFFF");
    EXPECT_EQ(unescaped(R"(\u07ff\u0800\uffff)"), "\u07ff\u0800\uffff");
}

TEST(JsonScan, RefusesOtherEscapesAndHalvesOfSurrogatePairs) {
    for (const char* text :
         {R"(\)", R"(a\)", R"(\x41)", R"(\')", R"(\0)", R"(\U0041)", R"(\u)", R"(\u004)", R"(\u004g)",
          R"(\u-041)", R"(\ud800)", R"(\ud800x)", R"(\ud800\n)", R"(\ud800\u)", R"(\ud800\u0041)",
          R"(\ud800\ud800)", R"(\udc00)", R"(\udc00\ud800)", R"(\udfff)"}) {
        EXPECT_EQ(unescaped(text), std::nullopt) << text;
    }
}

}  // namespace
}  // namespace llmopt_stream::json_scan
