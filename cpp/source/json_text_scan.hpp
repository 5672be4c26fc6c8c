#pragma once

#include <bit>
#include <cstdint>
#include <cstring>

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

namespace llmopt_stream {

/// The next bytes of a JSON string's content; masks have one or more bits per byte, the
/// first byte's lowest.
class JsonTextBlock {
public:
#if defined(__SSE2__)
    static constexpr unsigned kBytes = 16;

    /// kBytes behind `at` must be readable.
    explicit JsonTextBlock(const char* at) noexcept {
        const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(at));
        const __m128i last_control = _mm_set1_epi8(0x1F);
        const __m128i is_control = _mm_cmpeq_epi8(_mm_max_epu8(bytes, last_control), last_control);
        const __m128i is_quote = _mm_cmpeq_epi8(bytes, _mm_set1_epi8('"'));
        const __m128i is_backslash = _mm_cmpeq_epi8(bytes, _mm_set1_epi8('\\'));
        stops_ = static_cast<Mask>(
            _mm_movemask_epi8(_mm_or_si128(is_control, _mm_or_si128(is_quote, is_backslash))));
        non_ascii_ = static_cast<Mask>(_mm_movemask_epi8(bytes));
    }
#else
    static_assert(std::endian::native == std::endian::little, "the first byte is the lowest");
    static constexpr unsigned kBytes = 8;

    explicit JsonTextBlock(const char* at) noexcept {
        std::uint64_t bytes = 0;
        std::memcpy(&bytes, at, sizeof(bytes));
        // A borrow out of a byte disturbs only later ones, and only the first one matters.
        const std::uint64_t is_control = bytes - 0x20 * kOnes;
        const std::uint64_t is_quote = (bytes ^ '"' * kOnes) - kOnes;
        const std::uint64_t is_backslash = (bytes ^ '\\' * kOnes) - kOnes;
        stops_ = (is_control | is_quote | is_backslash) & ~bytes & kHighBits;
        non_ascii_ = bytes & kHighBits;
    }
#endif

    /// Whether there is a quote, a backslash or a control character.
    [[nodiscard]] bool has_stop() const noexcept { return stops_ != 0; }
    /// How many bytes come before the first one. Requires has_stop().
    [[nodiscard]] unsigned bytes_before_stop() const noexcept {
        return static_cast<unsigned>(std::countr_zero(stops_)) / kMaskBits;
    }
    /// Whether one of the bytes before the first stop is not ASCII.
    [[nodiscard]] bool has_non_ascii() const noexcept { return (non_ascii_ & ~stops_ & (stops_ - 1)) != 0; }

private:
#if defined(__SSE2__)
    using Mask = std::uint32_t;
    static constexpr unsigned kMaskBits = 1;
#else
    using Mask = std::uint64_t;
    static constexpr unsigned kMaskBits = 8;
    static constexpr std::uint64_t kOnes = 0x0101010101010101;
    static constexpr std::uint64_t kHighBits = 0x8080808080808080;
#endif

    Mask stops_;
    Mask non_ascii_;
};

/// What the content of a JSON string is, as far as one look at its bytes tells.
struct JsonText {
    /// The closing quote; null if a control character comes before it.
    const char* end = nullptr;
    /// Only then can it be invalid UTF-8 or have a bad escape.
    bool has_escapes = false;
    bool has_non_ascii = false;
};

/// Looks at the content that starts at `at`. A control character must follow somewhere, and
/// JsonTextBlock::kBytes behind it must be readable.
[[nodiscard, gnu::always_inline]] inline JsonText scan_json_text(const char* at) noexcept {
    JsonText text;
    for (;;) {
        const JsonTextBlock block(at);
        text.has_non_ascii |= block.has_non_ascii();
        if (!block.has_stop()) {
            at += JsonTextBlock::kBytes;
            continue;
        }
        at += block.bytes_before_stop();
        if (*at == '"') {
            text.end = at;
            return text;
        }
        // What a backslash escapes is no end, but a control character is.
        if (*at != '\\' || static_cast<unsigned char>(at[1]) < 0x20) {
            return text;
        }
        text.has_escapes = true;
        at += 2;
    }
}

}  // namespace llmopt_stream
