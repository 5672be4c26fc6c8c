#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "record/key.hpp"

namespace llmopt_stream {

/// The distinct grouping keys of one batch, and of batches before it. Records refer to them by index, so
/// that hashing and comparing is done once per key further down the path, and
/// an Arrow dictionary column needs no per-record work at all.
class KeyDictionary {
public:
    /// Which key an index means, once it is in use, depends on nothing but this number: no other dictionary
    /// has it, and clear() gives a new one.
    [[nodiscard]] std::uint64_t id() const noexcept { return id_; }

    /// The index of the key with these encoded bytes, added if it is new.
    std::uint32_t intern(std::string_view encoded);

    /// Keeps the memory.
    void clear() noexcept;
    /// Forgets the keys if they are too many to be kept for the next batch, of about so many records: what is
    /// asked of each key of a batch must not cost more than its records do. Says whether.
    bool clear_if_large(std::size_t records) noexcept {
        const std::size_t most = std::clamp(4 * records, kAlwaysKept, kMostKept);
        const bool is_large = hashes_.size() > most || bytes_.size() > kMostKeptBytes;
        if (is_large) {
            clear();
        }
        return is_large;
    }

    [[nodiscard]] std::uint32_t size() const noexcept { return static_cast<std::uint32_t>(hashes_.size()); }
    [[nodiscard]] std::string_view key(std::uint32_t index) const noexcept {
        return {bytes_.data() + ends_[index], ends_[index + 1] - ends_[index]};
    }
    [[nodiscard]] std::uint64_t hash(std::uint32_t index) const noexcept { return hashes_[index]; }

private:
    static constexpr std::size_t kAlwaysKept = 1024;
    static constexpr std::size_t kMostKept = std::size_t{1} << 17;
    static constexpr std::size_t kMostKeptBytes = std::size_t{4} << 20;

    /// A key and the upper half of its hash, which tells most keys apart.
    struct Entry {
        std::uint32_t tag;
        std::uint32_t index_plus_one;  // 0 is empty
    };

    void grow();

    std::uint64_t id_ = next_id();
    [[nodiscard]] static std::uint64_t next_id() noexcept;

    std::string bytes_;
    std::vector<std::size_t> ends_{0};
    std::vector<std::uint64_t> hashes_;
    std::vector<Entry> table_;  // open addressing, linear probing
};

}  // namespace llmopt_stream
