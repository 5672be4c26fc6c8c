#include "record/iso8601.hpp"

#include <gtest/gtest.h>

#include <chrono>
#include <cstdio>
#include <string>
#include <vector>

namespace llmopt_stream {
namespace {

constexpr Timestamp kNewYear2026 = 1'767'225'600'000'000;

TEST(Iso8601, ReadsADateAsItsMidnightInUtc) {
    EXPECT_EQ(parse_iso8601("1970-01-01"), 0);
    EXPECT_EQ(parse_iso8601("2026-01-01"), kNewYear2026);
}

TEST(Iso8601, ReadsEverySeparatorAndPrecision) {
    EXPECT_EQ(parse_iso8601("2026-01-01T00:00"), kNewYear2026);
    EXPECT_EQ(parse_iso8601("2026-01-01 00:00:00"), kNewYear2026);
    EXPECT_EQ(parse_iso8601("2026-01-01t01:02:03z"), kNewYear2026 + 3'723'000'000);
    EXPECT_EQ(parse_iso8601("2026-01-01T23:59:59Z"), kNewYear2026 + 86'399'000'000);
    EXPECT_EQ(parse_iso8601("2026-01-01T23:59Z"), kNewYear2026 + 86'340'000'000);
}

TEST(Iso8601, CutsFractionsOffAfterMicroseconds) {
    EXPECT_EQ(parse_iso8601("2026-01-01T00:00:00.1Z"), kNewYear2026 + 100'000);
    EXPECT_EQ(parse_iso8601("2026-01-01T00:00:00.12Z"), kNewYear2026 + 120'000);
    EXPECT_EQ(parse_iso8601("2026-01-01T00:00:00.123"), kNewYear2026 + 123'000);
    EXPECT_EQ(parse_iso8601("2026-01-01T00:00:00.1234Z"), kNewYear2026 + 123'400);
    EXPECT_EQ(parse_iso8601("2026-01-01T00:00:00.12345Z"), kNewYear2026 + 123'450);
    EXPECT_EQ(parse_iso8601("2026-01-01T00:00:00.123456"), kNewYear2026 + 123'456);
    EXPECT_EQ(parse_iso8601("2026-01-01T00:00:00.123456Z"), kNewYear2026 + 123'456);
    EXPECT_EQ(parse_iso8601("2026-01-01T00:00:00.1234567Z"), kNewYear2026 + 123'456);
    EXPECT_EQ(parse_iso8601("2026-01-01T00:00:00.12345678Z"), kNewYear2026 + 123'456);
    EXPECT_EQ(parse_iso8601("2026-01-01T00:00:00.123456789Z"), kNewYear2026 + 123'456);
    EXPECT_EQ(parse_iso8601("2026-01-01T00:00:00.999999999+00:00"), kNewYear2026 + 999'999);
    EXPECT_EQ(parse_iso8601("2026-01-01T00:00:00.000001+00:00"), kNewYear2026 + 1);
}

TEST(Iso8601, RoundsTimesBefore1970Down) {
    EXPECT_EQ(parse_iso8601("1969-12-31T23:59:59.999999Z"), -1);
    EXPECT_EQ(parse_iso8601("1969-12-31T23:59:59.9999999Z"), -1);
    EXPECT_EQ(parse_iso8601("1969-12-31T23:59:59.999998999Z"), -2);
    EXPECT_EQ(parse_iso8601("1969-12-31T23:59:59Z"), -1'000'000);
}

TEST(Iso8601, SubtractsTheOffset) {
    EXPECT_EQ(parse_iso8601("2026-01-01T02:00:00+02:00"), kNewYear2026);
    EXPECT_EQ(parse_iso8601("2026-01-01T02:00+0200"), kNewYear2026);
    EXPECT_EQ(parse_iso8601("2026-01-01T02:00:00.000+02"), kNewYear2026);
    EXPECT_EQ(parse_iso8601("2025-12-31T18:30:00-05:30"), kNewYear2026);
    EXPECT_EQ(parse_iso8601("2025-12-31T18:30-05"), kNewYear2026 - 1'800'000'000);
    EXPECT_EQ(parse_iso8601("2026-01-01T00:00:00-00:00"), kNewYear2026);
    EXPECT_EQ(parse_iso8601("2026-01-01T23:59:00+23:59"), kNewYear2026);
}

TEST(Iso8601, CoversTheYears1To9999) {
    EXPECT_EQ(parse_iso8601("0001-01-01T00:00:00Z"), -62'135'596'800'000'000);
    EXPECT_EQ(parse_iso8601("9999-12-31T23:59:59.999999Z"), 253'402'300'799'999'999);
    EXPECT_EQ(parse_iso8601("0000-12-31T00:00:00Z"), std::nullopt);
    EXPECT_EQ(parse_iso8601("10000-01-01T00:00:00Z"), std::nullopt);
    EXPECT_EQ(parse_iso8601("-001-01-01T00:00:00Z"), std::nullopt);
    EXPECT_EQ(parse_iso8601("+2026-01-01T00:00:00Z"), std::nullopt);
}

TEST(Iso8601, KnowsLeapYears) {
    EXPECT_EQ(parse_iso8601("2024-02-29"), 1'709'164'800'000'000);
    EXPECT_EQ(parse_iso8601("2000-02-29"), 951'782'400'000'000);
    EXPECT_EQ(parse_iso8601("2023-02-29"), std::nullopt);
    EXPECT_EQ(parse_iso8601("1900-02-29"), std::nullopt);
    EXPECT_EQ(parse_iso8601("2024-02-30"), std::nullopt);
}

TEST(Iso8601, AgreesWithTheCalendarOnEveryDayAroundTheEpochAndTheEnds) {
    using namespace std::chrono;
    for (const int first_year : {1, 1600, 1890, 1960, 2090, 9990}) {
        const sys_days begin{year{first_year} / 1 / 1};
        const sys_days end{year{first_year + 9} / 12 / 31};
        for (sys_days day = begin; day <= end; day += days{1}) {
            const year_month_day date{day};
            char text[40];
            std::snprintf(text, sizeof(text), "%04d-%02u-%02uT12:34:56.789012Z",
                          static_cast<int>(date.year()), static_cast<unsigned>(date.month()),
                          static_cast<unsigned>(date.day()));
            ASSERT_EQ(parse_iso8601(text), microseconds{day.time_since_epoch()}.count() + 45'296'789'012)
                << text;
        }
    }
}

TEST(Iso8601, RefusesWhatIsNoDateOrTime) {
    for (const char* text : {"",
                             "2",
                             "2026",
                             "2026-01",
                             "2026-1-1",
                             "2026-00-01",
                             "2026-13-01",
                             "2026-01-00",
                             "2026-01-32",
                             "2026-04-31",
                             "2026/01/01",
                             "20260101",
                             "2026-01-01T",
                             "2026-01-01Z",
                             "2026-01-01+02:00",
                             "2026-01-01T0",
                             "2026-01-01T00",
                             "2026-01-01T00Z",
                             "2026-01-01T00:",
                             "2026-01-01T00:0",
                             "2026-01-01T00:00:",
                             "2026-01-01T00:00:0",
                             "2026-01-01T00:00:0Z",
                             "2026-01-01T00:00:00.",
                             "2026-01-01T00:00:00.Z",
                             "2026-01-01T00:00:00,5Z",
                             "2026-01-01T00:00.5Z",
                             "2026-01-01T00:00:00.1234567890Z",
                             "2026-01-01T24:00:00Z",
                             "2026-01-01T00:60:00Z",
                             "2026-01-01T00:00:60Z",
                             "2026-01-01_00:00:00Z",
                             "2026-01-01  00:00:00Z",
                             "2026-01-01T00:00:00 Z",
                             "2026-01-01T00:00:00ZZ",
                             "2026-01-01T00:00:00Z ",
                             " 2026-01-01T00:00:00Z",
                             "2026-01-01T00:00:00X",
                             "2026-01-01T00:00:00+",
                             "2026-01-01T00:00:00+1",
                             "2026-01-01T00:00:00+01:",
                             "2026-01-01T00:00:00+01:0",
                             "2026-01-01T00:00:00+010",
                             "2026-01-01T00:00:00+01:00Z",
                             "2026-01-01T00:00:00+24:00",
                             "2026-01-01T00:00:00+00:60",
                             "2026-01-01T00:00:00Z+01:00",
                             "2026-01-01T0a:00:00Z",
                             "202:-01-01T00:00:00Z",
                             "2026-01-01T00:00:/0Z",
                             "2026-01-01T00:00:00.12345:Z",
                             "2026-01-01T00:00:00.\xB0"
                             "23456Z",
                             "\xB2"
                             "026-01-01T00:00:00Z"}) {
        EXPECT_EQ(parse_iso8601(text), std::nullopt) << text;
    }
}

TEST(Iso8601, RefusesEveryOtherByteAtEveryPlace) {
    const std::string valid = "2026-01-01T00:00:00.123456Z";
    for (std::size_t at = 0; at < valid.size(); ++at) {
        for (int byte = 0; byte < 256; ++byte) {
            const char c = static_cast<char>(byte);
            const bool digit_place = valid[at] >= '0' && valid[at] <= '9';
            // A digit may stand for another one, if it makes a date; zones and separators have synonyms.
            if ((digit_place && c >= '0' && c <= '9') || (at == 10 && (c == 'T' || c == 't' || c == ' ')) ||
                (at == 26 && (c == 'Z' || c == 'z' || (c >= '0' && c <= '9'))) || c == valid[at]) {
                continue;
            }
            std::string changed = valid;
            changed[at] = c;
            EXPECT_EQ(parse_iso8601(changed), std::nullopt) << changed;
        }
    }
}

TEST(Iso8601, ReadsNothingBeyondTheText) {
    const std::string text = "2026-01-01T00:00:00.123456789+01:00";
    for (std::size_t size = 0; size <= text.size(); ++size) {
        // In memory of its own, so that a sanitizer sees a read beyond it.
        const std::vector<char> exact(text.begin(), text.begin() + static_cast<std::ptrdiff_t>(size));
        const bool complete =
            size == 10 || size == 16 || size == 19 || (size >= 21 && size <= 29) || size == 32 || size == 35;
        EXPECT_EQ(parse_iso8601({exact.data(), size}).has_value(), complete) << text.substr(0, size);
    }
}

TEST(Iso8601Parser, WhatItReadBeforeChangesNothing) {
    const std::vector<std::string> texts = {"1970-01-01T00:00",
                                            "1970-01-01T00:00:59.5Z",
                                            "2026-01-01T00:00:01Z",
                                            "2026-01-01T00:00:02.25+01:00",
                                            "2026-01-01T00:00",
                                            "2026-01-01",
                                            "2026-01-01T00:00:60Z",
                                            "2026-01-01T00:01:00Z",
                                            "2026-01-01 00:01:00Z",
                                            "2026-13-01T00:00:00Z",
                                            "2026-01-01T00:00:0",
                                            "2026-01-01T00:00:",
                                            "2026-01-01T00:00Z",
                                            "2026-01-01T00:00-02",
                                            "",
                                            "2026-01-01T00:0"};
    Iso8601Parser parser;
    for (const std::string& first : texts) {
        for (const std::string& second : texts) {
            EXPECT_EQ(parser.parse(first), parse_iso8601(first)) << first;
            EXPECT_EQ(parser.parse(second), parse_iso8601(second)) << first << " then " << second;
        }
    }
}

TEST(Iso8601, FormatsTimesAndDays) {
    EXPECT_EQ(format_iso8601(0), "1970-01-01T00:00:00+00:00");
    EXPECT_EQ(format_iso8601(-1), "1969-12-31T23:59:59.999999+00:00");
    EXPECT_EQ(format_iso8601(1'709'210'096'000'500), "2024-02-29T12:34:56.000500+00:00");
    EXPECT_EQ(format_iso8601_date(-1), "1969-12-31");
    EXPECT_EQ(format_iso8601_date(86'399'999'999), "1970-01-01");
    for (const char* day : {"0001-01-01", "1600-02-29", "1900-03-01", "2000-12-31", "9999-12-31"}) {
        EXPECT_EQ(format_iso8601_date(parse_iso8601(day).value()), day);
    }
    EXPECT_EQ(format_iso8601_date(kMaxTimestamp), "294247-01-10");
    EXPECT_EQ(format_iso8601_date(kMinTimestamp), "-290308-12-21");
}

}  // namespace
}  // namespace llmopt_stream
