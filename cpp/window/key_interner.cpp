#include "window/key_interner.hpp"

#include <algorithm>
#include <cstring>

namespace llmopt_stream {
namespace {

constexpr std::size_t kInitialTable = 256;

}  // namespace

KeyInterner::~KeyInterner() {
    for (const Entry& entry : entries_) {
        if (entry.size != kFree && entry.bytes != nullptr) {
            pool_->release(entry.bytes, entry.size);
        }
    }
}

KeyInterner::Code KeyInterner::intern(std::string_view encoded, std::uint64_t hash) {
    if (table_.size() < 2 * (known_ + 1)) {
        rebuild_table(std::max(kInitialTable, table_.size() * 2));
    }
    const std::size_t mask = table_.size() - 1;
    std::size_t at = hash & mask;
    for (; table_[at] != 0; at = (at + 1) & mask) {
        const Entry& entry = entries_[table_[at] - 1];
        if (entry.hash == hash && std::string_view(entry.bytes, entry.size) == encoded) {
            return table_[at] - 1;
        }
    }
    if (free_codes_.empty()) {
        entries_.push_back({nullptr, 0, kFree, 0});
        generations_.resize(std::max(generations_.size(), entries_.size()), 0);
        // forget_idle() must not fail.
        free_codes_.reserve(entries_.capacity());
        free_codes_.push_back(static_cast<Code>(entries_.size() - 1));
    }
    char* bytes = nullptr;
    if (!encoded.empty()) {
        bytes = static_cast<char*>(pool_->allocate(encoded.size()));
        std::memcpy(bytes, encoded.data(), encoded.size());
    }
    const Code code = free_codes_.back();
    free_codes_.pop_back();
    entries_[code] = Entry{bytes, hash, static_cast<std::uint32_t>(encoded.size()), 0};
    table_[at] = code + 1;
    ++known_;
    ++idle_;
    return code;
}

void KeyInterner::rebuild_table(std::size_t size) {
    table_.assign(size, 0);
    const std::size_t mask = size - 1;
    for (Code code = 0; code < entries_.size(); ++code) {
        if (entries_[code].size == kFree) {
            continue;
        }
        std::size_t at = entries_[code].hash & mask;
        while (table_[at] != 0) {
            at = (at + 1) & mask;
        }
        table_[at] = code + 1;
    }
}

void KeyInterner::forget(Code code) noexcept {
    Entry& entry = entries_[code];
    if (entry.bytes != nullptr) {
        pool_->release(entry.bytes, entry.size);
    }
    entry = Entry{nullptr, 0, kFree, 0};
    ++generations_[code];
}

void KeyInterner::forget_idle() noexcept {
    for (Code code = 0; code < entries_.size(); ++code) {
        if (entries_[code].size != kFree && entries_[code].holders == 0) {
            forget(code);
            free_codes_.push_back(code);
        }
    }
    known_ -= idle_;
    idle_ = 0;
    most_live_ = known_;
    // Of the same size: no memory is asked for.
    rebuild_table(table_.size());
}

/// Takes time for the keys since the last call, not for all that there have been.
void KeyInterner::forget_all() noexcept {
    for (Code code = 0; code < entries_.size(); ++code) {
        if (entries_[code].size != kFree) {
            forget(code);
        }
    }
    entries_.clear();
    free_codes_.clear();
    table_.clear();
    known_ = 0;
    idle_ = 0;
    most_live_ = 0;
}

}  // namespace llmopt_stream
