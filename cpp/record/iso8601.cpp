#include "record/iso8601.hpp"

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <string>

#include "record/ascii_digits.hpp"

namespace llmopt_stream {
namespace {

constexpr std::int64_t kSecond = 1'000'000;
constexpr std::int64_t kMinute = 60 * kSecond;
constexpr std::int64_t kHour = 60 * kMinute;
constexpr std::int64_t kDay = 24 * kHour;
constexpr std::size_t kMicrosecondDigits = 6;
constexpr std::size_t kMaxFractionDigits = 9;

/// Reads a text from left to right and remembers whether anything was amiss, so that
/// the checks of a fixed layout cost one branch together.
class Cursor {
public:
    explicit Cursor(std::string_view text) : text_(text) {}

    [[nodiscard]] bool at_end() const { return at_ == text_.size(); }
    [[nodiscard]] char peek() const { return at_end() ? '\0' : text_[at_]; }
    [[nodiscard]] bool has(std::size_t count) const { return text_.size() - at_ >= count; }
    void skip(std::size_t count = 1) { at_ += count; }
    /// The next three methods require has() of what they read.
    [[nodiscard]] unsigned two_digits() {
        const unsigned tens = digit(text_[at_]);
        const unsigned ones = digit(text_[at_ + 1]);
        at_ += 2;
        return tens * 10 + ones;
    }
    void expect(char c) { valid_ &= text_[at_++] == c; }

    /// Eight characters that are digits where `layout` has '0' and equal to it elsewhere.
    /// Byte i of the result is the number of two digits that starts there.
    [[nodiscard]] std::uint64_t pairs_of_digits(const char (&layout)[9]) {
        const std::uint64_t expected = ascii_digits::load(layout);
        const std::uint64_t values = ascii_digits::load(text_.data() + at_) ^ expected;
        at_ += 8;
        valid_ &= (((values + limits_of(layout)) | values) & ascii_digits::kHighBits) == 0;
        return values * 10 + (values >> 8);
    }

    /// As many of the next eight characters as are left, zero bytes behind them. Requires a text
    /// of at least eight.
    [[nodiscard]] std::uint64_t next_eight() const {
        const std::size_t missing = has(8) ? 0 : 8 - (text_.size() - at_);
        // Not one byte beyond the text is read; a shift by all 64 bits is undefined.
        return missing == 8 ? 0 : ascii_digits::load(text_.data() + at_ - missing) >> (8 * missing);
    }

    void require(bool condition) { valid_ &= condition; }
    [[nodiscard]] bool valid() const { return valid_; }

private:
    /// What sets a byte's high bit when added to more than 9 for a digit, more than 0 elsewhere.
    static constexpr std::uint64_t limits_of(const char (&layout)[9]) {
        std::uint64_t limits = 0;
        for (int i = 7; i >= 0; --i) {
            limits = limits << 8 | (layout[i] == '0' ? 0x76 : 0x7F);
        }
        return limits;
    }

    unsigned digit(char c) {
        const unsigned value = static_cast<unsigned char>(c) - unsigned{'0'};
        valid_ &= value <= 9;
        return value & 0xF;  // small even if it is no digit, so that sums cannot overflow
    }

    std::string_view text_;
    std::size_t at_ = 0;
    bool valid_ = true;
};

unsigned byte(std::uint64_t word, int index) { return static_cast<unsigned>(word >> (8 * index)) & 0xFF; }

/// Days from the epoch to the date at the cursor, which has ten characters for it.
std::int64_t read_date(Cursor& cursor) {
    const std::uint64_t pairs = cursor.pairs_of_digits("0000-00-");
    const unsigned year = byte(pairs, 0) * 100 + byte(pairs, 2);
    const unsigned month = byte(pairs, 5);
    const unsigned day = cursor.two_digits();
    const std::chrono::year_month_day date{std::chrono::year{static_cast<int>(year)},
                                           std::chrono::month{month}, std::chrono::day{day}};
    cursor.require(year >= 1 && date.ok());
    return cursor.valid() ? std::chrono::sys_days{date}.time_since_epoch().count() : 0;
}

/// Microseconds of the digits after the point.
std::int64_t read_fraction(Cursor& cursor) {
    static constexpr std::array<std::uint32_t, kMicrosecondDigits + 1> kPowersOfTen = {
        1, 10, 100, 1'000, 10'000, 100'000, 1'000'000};
    const std::uint64_t word = cursor.next_eight();
    const unsigned digits = ascii_digits::count_leading_digits(word);
    if (digits >= 1 && digits <= kMicrosecondDigits) {
        cursor.skip(digits);
        return static_cast<std::int64_t>(ascii_digits::value(word, digits) *
                                         kPowersOfTen[kMicrosecondDigits - digits]);
    }
    std::size_t more_digits = 0;
    while (cursor.peek() >= '0' && cursor.peek() <= '9') {
        cursor.skip();
        ++more_digits;
    }
    cursor.require(more_digits >= 1 && more_digits <= kMaxFractionDigits);
    return more_digits == 0 ? 0 : static_cast<std::int64_t>(ascii_digits::value(word, kMicrosecondDigits));
}

/// Microseconds to subtract for UTC; the cursor ends up behind the zone.
std::int64_t read_zone(Cursor& cursor) {
    const char sign = cursor.peek();
    if (sign == 'Z' || sign == 'z') {
        cursor.skip();
        return 0;
    }
    if ((sign != '+' && sign != '-') || !cursor.has(3)) {
        return 0;
    }
    cursor.skip();
    const unsigned hours = cursor.two_digits();
    unsigned minutes = 0;
    if (cursor.peek() == ':') {
        cursor.skip();
        cursor.require(cursor.has(2));
    }
    if (cursor.has(2)) {
        minutes = cursor.two_digits();
    }
    cursor.require(hours <= 23 && minutes <= 59);
    const std::int64_t offset = hours * kHour + minutes * kMinute;
    return sign == '-' ? -offset : offset;
}

/// Microseconds of a minute, as far as `:ss` or `:ss.fraction` follow.
std::int64_t read_seconds(Cursor& cursor) {
    if (cursor.peek() != ':') {
        return 0;
    }
    cursor.require(cursor.has(3));
    if (!cursor.valid()) {
        return 0;
    }
    cursor.skip();
    const unsigned second = cursor.two_digits();
    cursor.require(second <= 59);
    std::int64_t fraction = 0;
    if (cursor.peek() == '.') {
        cursor.skip();
        fraction = read_fraction(cursor);
    }
    return second * kSecond + fraction;
}

/// The start of the minute that the sixteen characters at the cursor name.
Timestamp read_minute(Cursor& cursor) {
    const std::int64_t date = read_date(cursor);
    const char separator = cursor.peek();
    cursor.require(separator == 'T' || separator == ' ' || separator == 't');
    cursor.skip();
    const unsigned hour = cursor.two_digits();
    cursor.expect(':');
    const unsigned minute = cursor.two_digits();
    cursor.require(hour <= 23 && minute <= 59);
    return date * kDay + hour * kHour + minute * kMinute;
}

}  // namespace

std::optional<Timestamp> parse_iso8601(std::string_view text) noexcept { return Iso8601Parser().parse(text); }

std::optional<Timestamp> Iso8601Parser::parse(std::string_view text) noexcept {
    Cursor cursor(text);
    if (text.size() < kMinuteBytes) {
        if (text.size() != sizeof("2026-01-01") - 1) {
            return std::nullopt;
        }
        const Timestamp time = read_date(cursor) * kDay;
        return cursor.valid() ? std::optional(time) : std::nullopt;
    }
    if (std::memcmp(text.data(), minute_text_.data(), kMinuteBytes) == 0) {
        cursor.skip(kMinuteBytes);
    } else {
        const Timestamp minute = read_minute(cursor);
        if (!cursor.valid()) {
            return std::nullopt;
        }
        minute_ = minute;
        std::memcpy(minute_text_.data(), text.data(), kMinuteBytes);
    }
    const Timestamp time = minute_ + read_seconds(cursor) - read_zone(cursor);
    return cursor.valid() && cursor.at_end() ? std::optional(time) : std::nullopt;
}

std::string format_iso8601_date(Timestamp time) {
    // Hinnant, "chrono-compatible low-level date algorithms": civil_from_days.
    const std::int64_t days = time / kDay - (time % kDay < 0 ? 1 : 0) + 719'468;
    const std::int64_t era = (days >= 0 ? days : days - 146'096) / 146'097;
    const std::int64_t day_of_era = days - era * 146'097;
    const std::int64_t year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36'524 - day_of_era / 146'096) / 365;
    const std::int64_t day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    const std::int64_t shifted_month = (5 * day_of_year + 2) / 153;
    const std::int64_t month = shifted_month < 10 ? shifted_month + 3 : shifted_month - 9;
    const std::int64_t year = year_of_era + era * 400 + (month <= 2 ? 1 : 0);
    const std::int64_t day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    std::array<char, 32> text{};
    const int size =
        std::snprintf(text.data(), text.size(), year < 0 ? "%05lld-%02d-%02d" : "%04lld-%02d-%02d",
                      static_cast<long long>(year), static_cast<int>(month), static_cast<int>(day));
    return {text.data(), static_cast<std::size_t>(size)};
}

std::string format_iso8601(Timestamp time) {
    const std::int64_t of_day = (time % kDay + kDay) % kDay;
    const auto seconds = static_cast<int>(of_day / kSecond);
    const auto micros = static_cast<int>(of_day % kSecond);
    std::array<char, 32> text{};
    const int size =
        std::snprintf(text.data(), text.size(), micros == 0 ? "T%02d:%02d:%02d" : "T%02d:%02d:%02d.%06d",
                      seconds / 3600, seconds / 60 % 60, seconds % 60, micros);
    return format_iso8601_date(time).append(text.data(), static_cast<std::size_t>(size)).append("+00:00");
}

}  // namespace llmopt_stream
