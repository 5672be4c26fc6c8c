#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "record/key.hpp"

namespace llmopt_stream {

/// The distinct grouping keys of one batch. Records refer to them by index, so that
/// hashing and comparing is done once per key and batch further down the path, and
/// an Arrow dictionary column needs no per-record work at all.
class KeyDictionary {
public:
    /// The index of the key with these encoded bytes, added if it is new.
    std::uint32_t intern(std::string_view encoded);

    /// Keeps the memory.
    void clear() noexcept;

    [[nodiscard]] std::uint32_t size() const noexcept { return static_cast<std::uint32_t>(hashes_.size()); }
    [[nodiscard]] std::string_view key(std::uint32_t index) const noexcept {
        return {bytes_.data() + ends_[index], ends_[index + 1] - ends_[index]};
    }
    [[nodiscard]] std::uint64_t hash(std::uint32_t index) const noexcept { return hashes_[index]; }

private:
    void grow();

    std::string bytes_;
    std::vector<std::size_t> ends_{0};
    std::vector<std::uint64_t> hashes_;
    std::vector<std::uint32_t> table_;  // open addressing; index + 1, 0 is empty
};

}  // namespace llmopt_stream
