#pragma once

#include <vector>

#include "record/record_batch.hpp"
#include "window/key_interner.hpp"

namespace llmopt_stream {

/// The codes of a batch's keys, interned when first asked for. It holds them until the
/// batch ends, lest a code be reused for another key within it.
class BatchCodes {
public:
    explicit BatchCodes(KeyInterner& keys) : keys_(&keys) {}

    void begin(const RecordBatch& batch) {
        dictionary_ = batch.keys;
        codes_.assign(batch.keys->size(), kNone);
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
