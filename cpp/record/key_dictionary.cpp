#include "record/key_dictionary.hpp"

#include <algorithm>

namespace llmopt_stream {
namespace {
constexpr std::size_t kInitialTable = 256;
}

std::uint32_t KeyDictionary::intern(std::string_view encoded) {
    if (table_.size() < 2 * (hashes_.size() + 1)) {
        grow();
    }
    const std::uint64_t hash = hash_key(encoded);
    const std::size_t mask = table_.size() - 1;
    for (std::size_t at = hash & mask;; at = (at + 1) & mask) {
        if (table_[at] == 0) {
            const std::uint32_t index = size();
            table_[at] = index + 1;
            bytes_.append(encoded);
            ends_.push_back(bytes_.size());
            hashes_.push_back(hash);
            return index;
        }
        const std::uint32_t index = table_[at] - 1;
        if (hashes_[index] == hash && key(index) == encoded) {
            return index;
        }
    }
}

void KeyDictionary::clear() noexcept {
    bytes_.clear();
    ends_.resize(1);
    hashes_.clear();
    std::fill(table_.begin(), table_.end(), 0);
}

void KeyDictionary::grow() {
    table_.assign(std::max(kInitialTable, table_.size() * 2), 0);
    const std::size_t mask = table_.size() - 1;
    for (std::uint32_t index = 0; index < size(); ++index) {
        std::size_t at = hashes_[index] & mask;
        while (table_[at] != 0) {
            at = (at + 1) & mask;
        }
        table_[at] = index + 1;
    }
}

}  // namespace llmopt_stream
