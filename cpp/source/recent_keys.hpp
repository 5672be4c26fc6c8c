#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <vector>

#include "record/key.hpp"
#include "record/key_dictionary.hpp"
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

/// Remembers which index of a dictionary a text or number became, so that a value seen before needs
/// neither encoding nor the dictionary. A text of up to 16 bytes is compared as two words, a longer
/// one by its hash, then with the dictionary's bytes. Forgets when crowded: a miss costs time, never
/// correctness.
class RecentKeys {
public:
    static constexpr std::uint32_t kNone = std::numeric_limits<std::uint32_t>::max();

    /// Indices are those of this dictionary until the next call; what is remembered of another, or from
    /// before it was cleared, is forgotten.
    void begin(const KeyDictionary& dictionary) {
        if (dictionary.id() != dictionary_id_) {
            slots_.assign(std::size_t{1} << kFewestSlotBits, Slot());
            home_shift_ = 64 - kFewestSlotBits;
            used_ = 0;
            dictionary_id_ = dictionary.id();
        }
        dictionary_ = &dictionary;
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
        const Slot value{.low = bits, .high = 0, .size = kNumberTag};
        const Found found = look_up(value, {});
        return found.key != kNone ? found.key : remember(value, found.place, make());
    }

private:
    static constexpr int kFewestSlotBits = 11;
    static constexpr int kMostSlotBits = 18;
    static constexpr std::size_t kProbes = 4;
    /// The size of numbers.
    static constexpr std::uint32_t kNumberTag = std::numeric_limits<std::uint32_t>::max();
    /// The size of a slot that remembers nothing.
    static constexpr std::uint32_t kFree = kNumberTag - 1;
    static constexpr std::ptrdiff_t kTextBytes = TextMasks::kBytes;

    struct Slot {
        std::uint64_t low = 0;
        std::uint64_t high = 0;
        std::uint32_t size = kFree;
        std::uint32_t key = kNone;
    };
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
        Slot value{.low = 0, .high = 0, .size = static_cast<std::uint32_t>(text.size)};
        load_words(text, value);
        const Found found = look_up(value, text.view());
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

    [[nodiscard]] std::size_t home_of(std::uint64_t low, std::uint64_t high) const noexcept {
        return (low * 0x9E3779B97F4A7C15ULL + high * 0xC2B2AE3D27D4EB4FULL) >> home_shift_;
    }
    [[nodiscard]] std::size_t place_after(std::size_t place) const noexcept {
        return (place + 1) & (slots_.size() - 1);
    }

    [[nodiscard]] Found look_up(const Slot& value, std::string_view text) const {
        const std::size_t home = home_of(value.low, value.high);
        std::size_t place = home;
        for (std::size_t probe = 0; probe < kProbes; ++probe, place = place_after(place)) {
            const Slot& slot = slots_[place];
            if (slot.low == value.low && slot.high == value.high && slot.size == value.size &&
                (value.size <= TextMasks::kBytes || value.size == kNumberTag || is_text(slot.key, text))) {
                return {slot.key, place};
            }
            if (slot.size == kFree) {
                return {kNone, place};
            }
        }
        return {kNone, home};
    }
    /// A text with zero bytes is encoded in more bytes, and not found.
    [[nodiscard]] bool is_text(std::uint32_t key, std::string_view text) const noexcept {
        const std::string_view encoded = dictionary_->key(key);
        return encoded.size() == text.size() + key_encoding::kPlainTextBytes &&
               std::memcmp(encoded.data() + 1, text.data(), text.size()) == 0;
    }

    [[gnu::noinline]] std::uint32_t remember(const Slot& value, std::size_t place, std::uint32_t key) {
        if (key == kNone) {
            return key;
        }
        used_ += slots_[place].size == kFree ? 1 : 0;
        slots_[place] = value;
        slots_[place].key = key;
        if (2 * used_ > slots_.size() && slots_.size() < std::size_t{1} << kMostSlotBits) {
            grow();
        }
        return key;
    }
    void grow() {
        std::vector<Slot> old(2 * slots_.size());
        old.swap(slots_);
        --home_shift_;
        used_ = 0;
        for (const Slot& slot : old) {
            std::size_t place = home_of(slot.low, slot.high);
            for (std::size_t probe = 1; probe < kProbes && slots_[place].size != kFree; ++probe) {
                place = place_after(place);
            }
            if (slot.size != kFree && slots_[place].size == kFree) {
                slots_[place] = slot;
                ++used_;
            }
        }
    }

    const KeyDictionary* dictionary_ = nullptr;
    std::uint64_t dictionary_id_ = 0;
    std::vector<Slot> slots_;
    std::uint64_t home_shift_ = 64;
    std::size_t used_ = 0;
};

}  // namespace llmopt_stream
