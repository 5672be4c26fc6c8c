#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "aggregate/size_class_pool.hpp"

namespace llmopt_stream {

/// Gives each live grouping key a small dense code. A code is counted by its holders
/// (slices, timers) and reused once nobody holds it, so that memory follows the live
/// keys, not all keys ever seen. Nothing persisted or shown contains a code.
class KeyInterner {
public:
    using Code = std::uint32_t;

    /// The bytes of keys come from `pool`, which must outlive the interner.
    explicit KeyInterner(SizeClassPool& pool) : pool_(&pool) {}
    KeyInterner(const KeyInterner&) = delete;
    KeyInterner& operator=(const KeyInterner&) = delete;
    ~KeyInterner();

    /// The code of this key, new with no holder if it was not live. `hash` is hash_key(encoded).
    [[nodiscard]] Code intern(std::string_view encoded, std::uint64_t hash);

    /// Brings what intern() looks at into the cache, if called in this order with some other work
    /// in between: where the key's code is, what is known of that, its bytes.
    void prefetch_place(std::uint64_t hash) const noexcept {
        if (!table_.empty()) {
            __builtin_prefetch(&table_[hash & (table_.size() - 1)]);
        }
    }
    void prefetch_entry(std::uint64_t hash) const noexcept {
        if (const Entry* const entry = likely_entry(hash)) {
            __builtin_prefetch(entry);
        }
    }
    void prefetch_key(std::uint64_t hash) const noexcept {
        if (const Entry* const entry = likely_entry(hash)) {
            __builtin_prefetch(entry->bytes);
        }
    }

    void hold(Code code) noexcept { ++entries_[code].holders; }
    void release(Code code) noexcept;

    [[nodiscard]] std::string_view key(Code code) const noexcept {
        return {entries_[code].bytes, entries_[code].size};
    }
    /// The first eight bytes of the key as a big-endian number: decides most comparisons.
    [[nodiscard]] std::uint64_t prefix(Code code) const noexcept { return entries_[code].prefix; }
    /// Whether a's key sorts before b's.
    [[nodiscard]] bool less(Code a, Code b) const noexcept {
        return prefix(a) != prefix(b) ? prefix(a) < prefix(b) : key(a) < key(b);
    }
    [[nodiscard]] std::size_t live() const noexcept { return live_; }
    /// One more than the greatest code in use.
    [[nodiscard]] std::size_t code_limit() const noexcept { return entries_.size(); }

private:
    struct Entry {
        char* bytes;
        std::uint64_t hash;
        std::uint64_t prefix;
        std::uint32_t size;
        std::uint32_t holders;
    };

    /// What the first place of a key's probe run refers to; null if nothing.
    [[nodiscard]] const Entry* likely_entry(std::uint64_t hash) const noexcept {
        const std::uint32_t slot = table_.empty() ? 0 : table_[hash & (table_.size() - 1)];
        return slot == 0 ? nullptr : &entries_[slot - 1];
    }
    void grow();
    void erase_from_table(Code code) noexcept;

    SizeClassPool* pool_;
    std::vector<Entry> entries_;
    std::vector<Code> free_codes_;
    std::vector<std::uint32_t> table_;  // open addressing, linear probing; code + 1, 0 is empty
    std::size_t live_ = 0;
};

}  // namespace llmopt_stream
