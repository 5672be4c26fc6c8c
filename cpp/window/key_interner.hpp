#pragma once

#include <algorithm>
#include <cstdint>
#include <string_view>
#include <vector>

#include "aggregate/size_class_pool.hpp"

namespace llmopt_stream {

/// Gives each live grouping key a small dense code. A code is counted by its holders
/// (slices, timers) and reused some time after nobody holds it, so that memory follows the live
/// keys, not all keys ever seen. Nothing persisted or shown contains a code.
///
/// Keys that nobody holds are kept for a while, about as many as were live at once lately: many come back
/// with the next window. Once there are no live ones, none are kept.
class KeyInterner {
public:
    using Code = std::uint32_t;

    /// The bytes of keys come from `pool`, which must outlive the interner.
    explicit KeyInterner(SizeClassPool& pool) : pool_(&pool) {}
    KeyInterner(const KeyInterner&) = delete;
    KeyInterner& operator=(const KeyInterner&) = delete;
    ~KeyInterner();

    /// The code of this key, perhaps without a holder: then it means the key until the next release().
    /// `hash` is hash_key(encoded).
    [[nodiscard]] Code intern(std::string_view encoded, std::uint64_t hash);
    /// Changes whenever a code comes to mean no key: as long as it is the same, so is the key.
    [[nodiscard]] std::uint32_t generation(Code code) const noexcept { return generations_[code]; }

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
    void prefetch_bytes(std::uint64_t hash) const noexcept {
        if (const Entry* const entry = likely_entry(hash)) {
            __builtin_prefetch(entry->bytes);
        }
    }

    void hold(Code code) noexcept {
        if (entries_[code].holders++ == 0) {
            --idle_;
            most_live_ = std::max(most_live_, live());
        }
    }
    void release(Code code) noexcept {
        if (--entries_[code].holders == 0) {
            ++idle_;
            if (live() == 0) {
                forget_all();
            } else if (idle_ > most_live_ + kIdleKeys && idle_ > entries_.size() / 4) {
                forget_idle();
            }
        }
    }

    [[nodiscard]] std::string_view key(Code code) const noexcept {
        return {entries_[code].bytes, entries_[code].size};
    }
    void prefetch_generation(Code code) const noexcept { __builtin_prefetch(generations_.data() + code); }
    /// Of what key() is about to read; the second one reads what the first one fetches.
    void prefetch(Code code) const noexcept { __builtin_prefetch(entries_.data() + code); }
    void prefetch_key(Code code) const noexcept { __builtin_prefetch(entries_[code].bytes); }
    /// Whether a's key sorts before b's.
    [[nodiscard]] bool less(Code a, Code b) const noexcept { return key(a) < key(b); }
    /// How many keys have holders.
    [[nodiscard]] std::size_t live() const noexcept { return known_ - idle_; }
    /// One more than the greatest code in use.
    [[nodiscard]] std::size_t code_limit() const noexcept { return entries_.size(); }

private:
    static constexpr std::size_t kIdleKeys = 1024;
    /// The size of an entry whose code is free.
    static constexpr std::uint32_t kFree = 0xFFFFFFFF;

    struct Entry {
        char* bytes;
        std::uint64_t hash;
        std::uint32_t size;
        std::uint32_t holders;
    };

    /// What the first place of a key's probe run refers to; null if nothing.
    [[nodiscard]] const Entry* likely_entry(std::uint64_t hash) const noexcept {
        const std::uint32_t slot = table_.empty() ? 0 : table_[hash & (table_.size() - 1)];
        return slot == 0 || entries_[slot - 1].size == kFree ? nullptr : &entries_[slot - 1];
    }
    void rebuild_table(std::size_t size);
    void forget(Code code) noexcept;
    void forget_idle() noexcept;
    void forget_all() noexcept;

    SizeClassPool* pool_;
    std::vector<Entry> entries_;
    std::vector<std::uint32_t> generations_;  // of all codes that there have been
    std::vector<Code> free_codes_;
    std::vector<std::uint32_t> table_;  // open addressing, linear probing; code + 1, 0 is empty
    std::size_t known_ = 0;
    std::size_t idle_ = 0;
    std::size_t most_live_ = 0;  // at once, since keys were last forgotten
};

}  // namespace llmopt_stream
