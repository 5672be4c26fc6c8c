#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "record/record_batch.hpp"
#include "window/key_interner.hpp"

namespace llmopt_stream {

/// The codes of a batch's keys, interned when first asked for. It holds them until the
/// batch ends, lest a code be reused for another key within it.
class BatchCodes {
public:
    explicit BatchCodes(KeyInterner& keys) : keys_(&keys) {}

    void begin(const RecordBatch& batch) { begin(*batch.keys); }
    void begin(const KeyDictionary& keys) {
        dictionary_ = &keys;
        codes_.assign(keys.size(), kNone);
    }
    /// Interns all keys that were not yet: faster than one by one where many are live.
    void intern_all() {
        constexpr std::uint32_t kPortion = 32;
        for (std::uint32_t first = 0; first < size(); first += kPortion) {
            const std::uint32_t last = std::min(first + kPortion, static_cast<std::uint32_t>(size()));
            for (std::uint32_t at = first; at < last; ++at) {
                keys_->prefetch_place(dictionary_->hash(at));
            }
            for (std::uint32_t at = first; at < last; ++at) {
                keys_->prefetch_entry(dictionary_->hash(at));
            }
            for (std::uint32_t at = first; at < last; ++at) {
                keys_->prefetch_key(dictionary_->hash(at));
            }
            for (std::uint32_t at = first; at < last; ++at) {
                static_cast<void>((*this)[at]);
            }
        }
    }
    void end() noexcept {
        for (const KeyInterner::Code code : codes_) {
            if (code != kNone) {
                keys_->release(code);
            }
        }
        codes_.clear();
    }
    [[nodiscard]] std::size_t size() const noexcept { return codes_.size(); }
    [[nodiscard]] KeyInterner::Code operator[](std::uint32_t dictionary_index) {
        KeyInterner::Code& code = codes_[dictionary_index];
        if (code == kNone) {
            code = keys_->intern(dictionary_->key(dictionary_index), dictionary_->hash(dictionary_index));
            keys_->hold(code);
        }
        return code;
    }

private:
    static constexpr KeyInterner::Code kNone = 0xFFFFFFFF;

    KeyInterner* keys_;
    const KeyDictionary* dictionary_ = nullptr;
    std::vector<KeyInterner::Code> codes_;
};

}  // namespace llmopt_stream
