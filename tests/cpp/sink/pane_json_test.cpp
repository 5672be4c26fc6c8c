#include "sink/pane_json.hpp"

#include <gtest/gtest.h>

#include <limits>

#include "record/key.hpp"
#include "sink/json_text.hpp"

namespace llmopt_stream {
namespace {

std::string number(double value) {
    std::string text;
    json_text::append_number(text, value);
    return text;
}

std::string quoted(std::string_view value) {
    std::string text;
    json_text::append_string(text, value);
    return text;
}

TEST(JsonText, NumbersAreWrittenAsPythonWritesThem) {
    EXPECT_EQ(number(0.0), "0.0");
    EXPECT_EQ(number(-0.0), "-0.0");
    EXPECT_EQ(number(20), "20.0");
    EXPECT_EQ(number(-8.16496580927726), "-8.16496580927726");
    EXPECT_EQ(number(0.1), "0.1");
    EXPECT_EQ(number(0.0001), "0.0001");
    EXPECT_EQ(number(0.00001), "1e-05");
    EXPECT_EQ(number(123456789.25), "123456789.25");
    EXPECT_EQ(number(9999999999999998), "9999999999999998.0");
    EXPECT_EQ(number(1e16), "1e+16");
    EXPECT_EQ(number(1.5e300), "1.5e+300");
    EXPECT_EQ(number(5e-324), "5e-324");
    EXPECT_EQ(number(std::numeric_limits<double>::infinity()), "null");
    EXPECT_EQ(number(std::numeric_limits<double>::quiet_NaN()), "null");
}

TEST(JsonText, TextIsEscapedAsPythonEscapesIt) {
    EXPECT_EQ(quoted("a\"\\\b\f\n\r\t\x01\x1f\x7f\u00e9"),
              "\"a\\\"\\\\\\b\\f\\n\\r\\t\\u0001\\u001f\x7f\u00e9\"");
}

PaneTable one_pane(const Interval& window) {
    PaneTable panes;
    panes.results.push_back({"count", ResultType::kInt64});
    panes.results.push_back({"sum", ResultType::kFloat64});
    panes.results.push_back({"p50", ResultType::kFloat64});
    std::string key;
    key_encoding::append_text(key, "gpt-4o");
    key_encoding::append_null(key);
    const Interval superseded{0, 1'000'000};
    panes.append(key, window, 3, PaneTiming::kLate, 2, true, std::span(&superseded, 1));
    panes.results[0].append(std::int64_t{3});
    panes.results[1].append(60.0);
    panes.results[2].append_null();
    return panes;
}

TEST(PaneJson, APaneIsOneObject) {
    PaneJson json({"data.model", "r"});
    std::string text;
    json.append(one_pane({1'767'225'600'000'000, 1'767'225'660'500'000}), 0, text);
    EXPECT_EQ(text, R"({"window":{"start":"2026-01-01T00:00:00Z","end":"2026-01-01T00:01:00.500000Z"},)"
                    R"("key":{"data.model":"gpt-4o","r":null},)"
                    R"("results":{"count":3,"sum":60.0,"p50":null},)"
                    R"("pane":{"timing":"late","index":2,"is_last":true,)"
                    R"("replaces":[{"start":"1970-01-01T00:00:00Z","end":"1970-01-01T00:00:01Z"}]}})");
    std::string key;
    json.append_key(one_pane({0, 1}), 0, key);
    EXPECT_EQ(key, R"({"data.model":"gpt-4o","r":null})");
}

TEST(PaneJson, WindowsWithoutAnEndHaveNone) {
    PaneJson json({"a", "b"});
    std::string text;
    json.append(one_pane({kMinTimestamp, kMaxTimestamp}), 0, text);
    EXPECT_EQ(text.substr(0, 38), R"({"window":{"start":null,"end":null},"k)");
}

}  // namespace
}  // namespace llmopt_stream
