#include "window/key_interner.hpp"

#include <algorithm>
#include <cstring>

namespace llmopt_stream {
namespace {

constexpr std::size_t kInitialTable = 256;

std::uint64_t prefix_of(std::string_view key) noexcept {
    char bytes[sizeof(std::uint64_t)] = {};
    std::memcpy(bytes, key.data(), std::min(key.size(), sizeof(bytes)));
    std::uint64_t prefix = 0;
    std::memcpy(&prefix, bytes, sizeof(prefix));
    return __builtin_bswap64(prefix);
}

}  // namespace

KeyInterner::~KeyInterner() {
    for (const std::uint32_t slot : table_) {
        if (slot != 0) {
            const Entry& entry = entries_[slot - 1];
            if (entry.bytes != nullptr) {
                pool_->release(entry.bytes, entry.size);
            }
        }
    }
}

KeyInterner::Code KeyInterner::intern(std::string_view encoded, std::uint64_t hash) {
    if (table_.size() < 2 * (live_ + 1)) {
        grow();
    }
    const std::size_t mask = table_.size() - 1;
    std::size_t at = hash & mask;
    for (; table_[at] != 0; at = (at + 1) & mask) {
        const Entry& entry = entries_[table_[at] - 1];
        if (entry.hash == hash && std::string_view(entry.bytes, entry.size) == encoded) {
            return table_[at] - 1;
        }
    }
    Code code = 0;
    if (free_codes_.empty()) {
        code = static_cast<Code>(entries_.size());
        entries_.emplace_back();
    } else {
        code = free_codes_.back();
        free_codes_.pop_back();
    }
    char* bytes = nullptr;
    if (!encoded.empty()) {
        bytes = static_cast<char*>(pool_->allocate(encoded.size()));
        std::memcpy(bytes, encoded.data(), encoded.size());
    }
    entries_[code] = Entry{bytes, hash, prefix_of(encoded), static_cast<std::uint32_t>(encoded.size()), 0};
    table_[at] = code + 1;
    ++live_;
    return code;
}

void KeyInterner::release(Code code) noexcept {
    Entry& entry = entries_[code];
    if (--entry.holders != 0) {
        return;
    }
    erase_from_table(code);
    if (entry.bytes != nullptr) {
        pool_->release(entry.bytes, entry.size);
        entry.bytes = nullptr;
    }
    free_codes_.push_back(code);
    --live_;
}

void KeyInterner::erase_from_table(Code code) noexcept {
    const std::size_t mask = table_.size() - 1;
    std::size_t hole = entries_[code].hash & mask;
    while (table_[hole] != code + 1) {
        hole = (hole + 1) & mask;
    }
    // Backward shift: later entries of the probe run move into the hole, so that no
    // tombstones pile up under keys that come and go.
    for (std::size_t at = (hole + 1) & mask; table_[at] != 0; at = (at + 1) & mask) {
        const std::size_t home = entries_[table_[at] - 1].hash & mask;
        if (((at - home) & mask) >= ((at - hole) & mask)) {
            table_[hole] = table_[at];
            hole = at;
        }
    }
    table_[hole] = 0;
}

void KeyInterner::grow() {
    std::vector<std::uint32_t> old(std::max(kInitialTable, table_.size() * 2), 0);
    old.swap(table_);
    const std::size_t mask = table_.size() - 1;
    for (const std::uint32_t slot : old) {
        if (slot == 0) {
            continue;
        }
        std::size_t at = entries_[slot - 1].hash & mask;
        while (table_[at] != 0) {
            at = (at + 1) & mask;
        }
        table_[at] = slot;
    }
}

}  // namespace llmopt_stream
