#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <string_view>

#include "record/key.hpp"
#include "record/key_dictionary.hpp"

namespace llmopt_stream {

/// Remembers under which index a text is in the dictionary of a batch, so that a key seen
/// before needs neither encoding nor hash_key(). Forgets when crowded: a miss costs time,
/// never correctness. Holds no texts: they are compared with the dictionary's bytes.
class RecentTextKeys {
public:
    static constexpr std::uint32_t kNone = std::numeric_limits<std::uint32_t>::max();

    RecentTextKeys() { clear(); }

    /// To be called whenever the dictionary is cleared.
    void clear() noexcept { keys_.fill(kNone); }

    /// The index of the key that is this text alone, or kNone.
    [[nodiscard]] std::uint32_t find(std::string_view text, const KeyDictionary& dictionary) const noexcept {
        const std::uint32_t index = keys_[slot_of(text)];
        if (index == kNone) {
            return kNone;
        }
        const std::string_view encoded = dictionary.key(index);
        const bool is_same = encoded.size() == text.size() + key_encoding::kPlainTextBytes &&
                             std::memcmp(encoded.data() + 1, text.data(), text.size()) == 0;
        return is_same ? index : kNone;
    }

    /// Texts with zero bytes and other keys are not remembered.
    void remember(std::uint32_t index, const KeyDictionary& dictionary) noexcept {
        const std::string_view encoded = dictionary.key(index);
        if (key_encoding::is_plain_text(encoded)) {
            keys_[slot_of(encoded.substr(1, encoded.size() - key_encoding::kPlainTextBytes))] = index;
        }
    }

private:
    static constexpr int kSlotBits = 10;

    static std::uint64_t load(const char* bytes, std::size_t count) noexcept {
        std::uint64_t word = 0;
        std::memcpy(&word, bytes, count);
        return word;
    }

    [[gnu::always_inline]] static std::size_t slot_of(std::string_view text) noexcept {
        constexpr std::uint64_t kMultiplier = 0x9E3779B97F4A7C15;
        const char* const at = text.data();
        const std::size_t size = text.size();
        std::uint64_t mixed = size;
        if (size >= 8) {
            for (std::size_t i = 0; i + 8 < size; i += 8) {
                mixed = (mixed ^ load(at + i, 8)) * kMultiplier;
                mixed ^= mixed >> 32;
            }
            mixed ^= load(at + size - 8, 8);
        } else if (size >= 4) {
            mixed ^= load(at, 4) << 32 ^ load(at + size - 4, 4);
        } else if (size > 0) {
            mixed ^= load(at, 1) << 32 ^ load(at + size / 2, 1) << 16 ^ load(at + size - 1, 1) << 8;
        }
        return (mixed * kMultiplier) >> (64 - kSlotBits);
    }

    std::array<std::uint32_t, std::size_t{1} << kSlotBits> keys_;
};

}  // namespace llmopt_stream
