#pragma once

#include <cstdint>
#include <vector>

namespace llmopt_stream {

/// Maps key codes to slots 0, 1, 2, … of one slice. Codes are dense over all live keys, but
/// one slice may hold few of them: it starts as a hash table and becomes an array indexed
/// by code once that is no larger.
class SlotIndex {
public:
    static constexpr std::uint32_t kNone = 0xFFFFFFFF;

    /// The slot of `code`, or kNone.
    [[nodiscard]] std::uint32_t find(std::uint32_t code) const noexcept {
        if (!dense_.empty() || table_.empty()) {
            return code < dense_.size() ? dense_[code] - 1 : kNone;
        }
        const std::size_t mask = table_.size() - 1;
        for (std::size_t at = spread(code) & mask;; at = (at + 1) & mask) {
            if (table_[at].slot_plus_one == 0) {
                return kNone;
            }
            if (table_[at].code == code) {
                return table_[at].slot_plus_one - 1;
            }
        }
    }

    /// Of what find() is about to read.
    void prefetch(std::uint32_t code) const noexcept {
        if (code < dense_.size()) {
            __builtin_prefetch(dense_.data() + code);
        }
    }

    /// Adds a code that is not in it; its slot is the number of codes before it.
    std::uint32_t add(std::uint32_t code) {
        const std::uint32_t slot = size_++;
        if (dense_.empty()) {
            if (table_.size() < 2 * std::size_t{size_}) {
                grow();
            }
            if (dense_.empty()) {
                put(Entry{code, slot + 1});
                if (code >= code_limit_) {
                    code_limit_ = code + 1;
                }
                return slot;
            }
        }
        if (code >= dense_.size()) {
            dense_.resize(std::size_t{code} + code / 2 + 1, 0);
        }
        dense_[code] = slot + 1;
        return slot;
    }

    [[nodiscard]] std::uint32_t size() const noexcept { return size_; }

    void clear() noexcept {
        table_.clear();
        dense_.clear();
        size_ = 0;
        code_limit_ = 0;
    }

private:
    struct Entry {
        std::uint32_t code;
        std::uint32_t slot_plus_one;  // 0 is empty
    };
    static constexpr std::size_t kInitialTable = 8;

    [[nodiscard]] static std::size_t spread(std::uint32_t code) noexcept {
        return (code * std::uint64_t{0x9E3779B97F4A7C15}) >> 32;
    }

    void put(Entry entry) noexcept {
        const std::size_t mask = table_.size() - 1;
        std::size_t at = spread(entry.code) & mask;
        while (table_[at].slot_plus_one != 0) {
            at = (at + 1) & mask;
        }
        table_[at] = entry;
    }

    void grow() {
        std::vector<Entry> old;
        old.swap(table_);
        const std::size_t entries = old.empty() ? kInitialTable : old.size() * 2;
        if (std::size_t{code_limit_} <= 2 * entries) {
            dense_.assign(code_limit_ + 1, 0);
            for (const Entry& entry : old) {
                if (entry.slot_plus_one != 0) {
                    dense_[entry.code] = entry.slot_plus_one;
                }
            }
            return;
        }
        table_.resize(entries);
        for (const Entry& entry : old) {
            if (entry.slot_plus_one != 0) {
                put(entry);
            }
        }
    }

    std::vector<Entry> table_;
    std::vector<std::uint32_t> dense_;  // slot + 1, 0 where the code is absent
    std::uint32_t size_ = 0;
    std::uint32_t code_limit_ = 0;
};

}  // namespace llmopt_stream
