#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "record/record_batch.hpp"
#include "window/key_interner.hpp"

namespace llmopt_stream {

/// The codes of a batch's keys, interned when first asked for, and remembered for later batches of the
/// same dictionary as long as they mean the same keys.
class BatchCodes {
public:
    explicit BatchCodes(KeyInterner& keys) : keys_(&keys) {}

    void begin(const RecordBatch& batch) { begin(*batch.keys); }
    void begin(const KeyDictionary& keys) {
        dictionary_ = &keys;
        codes_ = &codes_of(dictionary_->id());
        codes_->resize(dictionary_->size());
        ++batch_;
    }
    /// Interns these keys of the dictionary: faster than one by one where many are live.
    void intern_all(std::span<const std::uint32_t> keys) {
        constexpr std::size_t kPortion = 32;
        for (std::size_t first = 0; first < keys.size(); first += kPortion) {
            const auto portion = keys.subspan(first, std::min(kPortion, keys.size() - first));
            for (const std::uint32_t key : portion) {
                keys_->prefetch_place(dictionary_->hash(key));
            }
            for (const std::uint32_t key : portion) {
                keys_->prefetch_entry(dictionary_->hash(key));
            }
            for (const std::uint32_t key : portion) {
                keys_->prefetch_bytes(dictionary_->hash(key));
            }
            for (const std::uint32_t key : portion) {
                static_cast<void>((*this)[key]);
            }
        }
    }
    void end() noexcept {
        for (const KeyInterner::Code code : held_) {
            keys_->release(code);
        }
        held_.clear();
    }
    [[nodiscard]] std::size_t size() const noexcept { return codes_->size(); }
    /// Means the key until the batch ends.
    [[nodiscard]] KeyInterner::Code operator[](std::uint32_t dictionary_index) {
        Remembered& remembered = (*codes_)[dictionary_index];
        if (remembered.held_in_batch != batch_) {
            static_cast<void>(look_up(dictionary_index));
            held_.push_back(remembered.code);
            keys_->hold(remembered.code);
            remembered.held_in_batch = batch_;
        }
        return remembered.code;
    }
    /// Means the key until a key is released: for who holds it at once, or asks nothing but what it has.
    [[nodiscard]] KeyInterner::Code look_up(std::uint32_t dictionary_index) {
        const Remembered& remembered = (*codes_)[dictionary_index];
        if (remembered.code != kNone && remembered.generation == keys_->generation(remembered.code)) {
            return remembered.code;
        }
        return intern(dictionary_index);
    }

    /// Of what known() and look_up() are about to read.
    void prefetch(std::uint32_t dictionary_index) const noexcept {
        __builtin_prefetch(codes_->data() + dictionary_index);
    }
    /// What look_up() will give unless the key was forgotten.
    [[nodiscard]] std::optional<KeyInterner::Code> known(std::uint32_t dictionary_index) const noexcept {
        const KeyInterner::Code code = (*codes_)[dictionary_index].code;
        return code == kNone ? std::nullopt : std::optional(code);
    }

private:
    static constexpr KeyInterner::Code kNone = 0xFFFFFFFF;
    // Threads that decode chunks in turn have a dictionary each.
    static constexpr std::size_t kDictionaries = 8;

    struct Remembered {
        KeyInterner::Code code = kNone;
        std::uint32_t generation = 0;
        std::uint32_t held_in_batch = 0;
    };
    struct Dictionary {
        std::uint64_t id = 0;
        std::vector<Remembered> codes;
    };

    [[nodiscard]] std::vector<Remembered>& codes_of(std::uint64_t id) {
        for (Dictionary& known : dictionaries_) {
            if (known.id == id) {
                return known.codes;
            }
        }
        Dictionary& replaced = dictionaries_[next_++ % kDictionaries];
        replaced.id = id;
        replaced.codes.clear();
        return replaced.codes;
    }

    [[gnu::noinline]] KeyInterner::Code intern(std::uint32_t dictionary_index) {
        const KeyInterner::Code code =
            keys_->intern(dictionary_->key(dictionary_index), dictionary_->hash(dictionary_index));
        Remembered& remembered = (*codes_)[dictionary_index];
        remembered.code = code;
        remembered.generation = keys_->generation(code);
        return code;
    }

    KeyInterner* keys_;
    const KeyDictionary* dictionary_ = nullptr;
    std::array<Dictionary, kDictionaries> dictionaries_;
    std::size_t next_ = 0;
    std::vector<Remembered>* codes_ = nullptr;
    std::uint32_t batch_ = 0;
    std::vector<KeyInterner::Code> held_;
};

}  // namespace llmopt_stream
