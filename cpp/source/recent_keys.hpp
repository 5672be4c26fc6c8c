#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <vector>

#include "record/key.hpp"
#include "source/arrow_text.hpp"

namespace llmopt_stream {

static_assert(std::endian::native == std::endian::little, "the masks are those of little-endian words");

/// What keeps the first `size` bytes of two words, the first byte being the lowest.
struct TextMasks {
    static constexpr std::size_t kBytes = 16;

    std::uint64_t words[kBytes + 1][2] = {};

    constexpr TextMasks() {
        for (std::size_t size = 0; size <= kBytes; ++size) {
            for (std::size_t byte = 0; byte < size; ++byte) {
                words[size][byte / 8] |= std::uint64_t{0xFF} << (byte % 8 * 8);
            }
        }
    }
};
inline constexpr TextMasks kTextMasks;

/// Remembers which key a text or number became, so that a value seen before needs neither
/// encoding nor the dictionary. A text of up to 16 bytes is compared as two words, a longer
/// one by its hash, then whole. Forgets when crowded: a miss costs time, never correctness.
class RecentKeys {
public:
    static constexpr std::uint32_t kNone = std::numeric_limits<std::uint32_t>::max();

    RecentKeys() : slots_(kSlots + kProbes) {}

    /// Remembered texts are views: clear before their memory goes.
    void clear() noexcept {
        for (const std::uint32_t slot : used_) {
            slots_[slot].size = kFree;
        }
        used_.clear();
    }

    /// The key of `text`; unless it is remembered, make(text) gives it. kNone is not remembered.
    template <typename Make>
    [[nodiscard, gnu::always_inline]] std::uint32_t find(const ArrowText& text, const Make& make) {
        if (text.size <= TextMasks::kBytes && text.readable - text.data >= kTextBytes) [[likely]] {
            // No branch on the size: it is what varies from row to row.
            const std::uint64_t low = load(text.data) & kTextMasks.words[text.size][0];
            const std::uint64_t high = load(text.data + 8) & kTextMasks.words[text.size][1];
            const Slot& slot = slots_.data()[home_of(low, high)];
            // One branch; free slots have a size that no text has.
            if (((slot.low ^ low) | (slot.high ^ high) | (slot.size ^ text.size)) == 0) [[likely]] {
                return slot.key;
            }
        }
        return find_further(text, make);
    }
    /// Likewise for the bits of a number; all numbers are taken to be of one type.
    template <typename Make>
    [[nodiscard]] std::uint32_t find(std::uint64_t bits, Make make) {
        const Slot value{.low = bits, .high = 0, .text = nullptr, .size = kNumberTag};
        const Found found = look_up(value);
        return found.key != kNone ? found.key : remember(value, found.place, make());
    }

private:
    static constexpr int kSlotBits = 11;
    static constexpr std::size_t kSlots = std::size_t{1} << kSlotBits;
    static constexpr std::size_t kProbes = 4;
    /// The size of numbers.
    static constexpr std::uint32_t kNumberTag = std::numeric_limits<std::uint32_t>::max();
    /// The size of a slot that remembers nothing.
    static constexpr std::uint32_t kFree = kNumberTag - 1;
    static constexpr std::ptrdiff_t kTextBytes = TextMasks::kBytes;

    struct Slot {
        std::uint64_t low = 0;
        std::uint64_t high = 0;
        const char* text = nullptr;
        std::uint32_t size = kFree;
        std::uint32_t key = kNone;
    };
    static_assert(sizeof(Slot) == 32, "slots do not straddle more cache lines than they must");
    /// The key, or where to put it.
    struct Found {
        std::uint32_t key;
        std::size_t place;
    };

    static std::uint64_t load(const char* bytes) noexcept {
        std::uint64_t word = 0;
        std::memcpy(&word, bytes, sizeof(word));
        return word;
    }

    template <typename Make>
    [[gnu::noinline]] std::uint32_t find_further(const ArrowText& text, const Make& make) {
        if (text.size >= kFree) {
            return make(text.view());
        }
        Slot value{.low = 0, .high = 0, .text = text.data, .size = static_cast<std::uint32_t>(text.size)};
        load_words(text, value);
        const Found found = look_up(value);
        return found.key != kNone ? found.key : remember(value, found.place, make(text.view()));
    }

    /// All bytes of a text of up to 16, zeros behind them; the first ones and the hash of a
    /// longer one (names share prefixes and suffixes: a sample of the bytes would not do).
    static void load_words(const ArrowText& text, Slot& value) {
        if (text.size > TextMasks::kBytes) {
            value.low = load(text.data);
            value.high = hash_key(text.view());
        } else {
            load_short(text, value);
        }
    }
    /// Reads no byte beyond the text: it may be the last one of its buffer.
    static void load_short(const ArrowText& text, Slot& value) {
        char bytes[TextMasks::kBytes] = {};
        for (std::size_t i = 0; i < text.size; ++i) {
            bytes[i] = text.data[i];
        }
        value.low = load(bytes);
        value.high = load(bytes + 8);
    }

    static std::size_t home_of(std::uint64_t low, std::uint64_t high) noexcept {
        return (low * 0x9E3779B97F4A7C15ULL + high * 0xC2B2AE3D27D4EB4FULL) >> (64 - kSlotBits);
    }

    [[nodiscard]] Found look_up(const Slot& value) const {
        const std::size_t home = home_of(value.low, value.high);
        const Slot* slots = slots_.data();
        for (std::size_t place = home; place < home + kProbes; ++place) {
            const Slot& slot = slots[place];
            if (slot.low == value.low && slot.high == value.high && slot.size == value.size &&
                (value.size <= TextMasks::kBytes || value.size == kNumberTag ||
                 std::memcmp(slot.text, value.text, value.size) == 0)) {
                return {slot.key, place};
            }
            if (slot.size == kFree) {
                return {kNone, place};
            }
        }
        return {kNone, home};
    }

    [[gnu::noinline]] std::uint32_t remember(const Slot& value, std::size_t place, std::uint32_t key) {
        if (key != kNone) {
            if (slots_[place].size == kFree) {
                used_.push_back(static_cast<std::uint32_t>(place));
            }
            slots_[place] = value;
            slots_[place].key = key;
        }
        return key;
    }

    std::vector<Slot> slots_;
    std::vector<std::uint32_t> used_;
};

}  // namespace llmopt_stream
