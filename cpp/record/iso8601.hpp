#pragma once

#include <array>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

#include "record/time.hpp"

namespace llmopt_stream {

/// Reads an ISO-8601 / RFC 3339 time as microseconds since the epoch: `2026-01-01`,
/// `2026-01-01T00:00[:00[.1-9 digits]]`, `T`, `t` or a space between date and time, then
/// `Z`, `z`, `+hh:mm`, `+hhmm`, `+hh` or nothing (UTC). Digits beyond microseconds are
/// cut off (floor). Empty where the text is anything else, or no date of the proleptic
/// Gregorian calendar in the years 1 to 9999. No leap seconds, no hour 24.
[[nodiscard]] std::optional<Timestamp> parse_iso8601(std::string_view text) noexcept;

/// `2026-01-01T00:00:00[.ffffff]+00:00`, as Python's isoformat() shows a UTC datetime: microseconds only
/// where there are any. Years beyond 1 to 9999 keep their sign and further digits.
[[nodiscard]] std::string format_iso8601(Timestamp time);
/// `2026-01-01`: the day that the time is in.
[[nodiscard]] std::string format_iso8601_date(Timestamp time);

/// parse_iso8601() for many texts: remembers the last minute, as successive records mostly share it.
class Iso8601Parser {
public:
    [[nodiscard]] std::optional<Timestamp> parse(std::string_view text) noexcept;

private:
    static constexpr std::size_t kMinuteBytes = sizeof("1970-01-01T00:00") - 1;

    std::array<char, kMinuteBytes> minute_text_{'1', '9', '7', '0', '-', '0', '1', '-',
                                                '0', '1', 'T', '0', '0', ':', '0', '0'};
    Timestamp minute_ = 0;
};

}  // namespace llmopt_stream
