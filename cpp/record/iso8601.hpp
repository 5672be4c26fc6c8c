#pragma once

#include <optional>
#include <string_view>

#include "record/time.hpp"

namespace llmopt_stream {

/// Reads an ISO-8601 / RFC 3339 time as microseconds since the epoch: `2026-01-01`,
/// `2026-01-01T00:00[:00[.1-9 digits]]`, `T`, `t` or a space between date and time, then
/// `Z`, `z`, `+hh:mm`, `+hhmm`, `+hh` or nothing (UTC). Digits beyond microseconds are
/// cut off (floor). Empty where the text is anything else, or no date of the proleptic
/// Gregorian calendar in the years 1 to 9999. No leap seconds, no hour 24.
[[nodiscard]] std::optional<Timestamp> parse_iso8601(std::string_view text) noexcept;

}  // namespace llmopt_stream
