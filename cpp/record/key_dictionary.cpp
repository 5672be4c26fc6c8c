#include "record/key_dictionary.hpp"

#include <algorithm>
#include <atomic>

namespace llmopt_stream {
namespace {
constexpr std::size_t kInitialTable = 256;
}

std::uint64_t KeyDictionary::next_id() noexcept {
    static std::atomic<std::uint64_t> last{0};
    return last.fetch_add(1, std::memory_order_relaxed) + 1;
}

std::uint32_t KeyDictionary::intern(std::string_view encoded) {
    if (table_.size() < 2 * (hashes_.size() + 1)) {
        grow();
    }
    const std::uint64_t hash = hash_key(encoded);
    const auto tag = static_cast<std::uint32_t>(hash >> 32);
    const std::size_t mask = table_.size() - 1;
    for (std::size_t at = hash & mask;; at = (at + 1) & mask) {
        const Entry entry = table_[at];
        if (entry.index_plus_one == 0) {
            const std::uint32_t index = size();
            table_[at] = {tag, index + 1};
            bytes_.append(encoded);
            ends_.push_back(bytes_.size());
            hashes_.push_back(hash);
            return index;
        }
        if (entry.tag == tag && key(entry.index_plus_one - 1) == encoded) {
            return entry.index_plus_one - 1;
        }
    }
}

void KeyDictionary::clear() noexcept {
    id_ = next_id();
    bytes_.clear();
    ends_.resize(1);
    hashes_.clear();
    std::fill(table_.begin(), table_.end(), Entry{});
}

void KeyDictionary::grow() {
    table_.assign(std::max(kInitialTable, table_.size() * 2), {});
    const std::size_t mask = table_.size() - 1;
    for (std::uint32_t index = 0; index < size(); ++index) {
        std::size_t at = hashes_[index] & mask;
        while (table_[at].index_plus_one != 0) {
            at = (at + 1) & mask;
        }
        table_[at] = {static_cast<std::uint32_t>(hashes_[index] >> 32), index + 1};
    }
}

}  // namespace llmopt_stream
