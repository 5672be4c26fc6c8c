#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string_view>
#include <unordered_map>

namespace llmopt_stream {

/// In which partition each key was first seen, of as many keys as there is room for. Keys are told apart by
/// their hashes of 64 bits.
class KeyPartitions {
public:
    enum class Seen : std::uint8_t { kHere, kElsewhere, kNotRemembered };
    static constexpr std::size_t kMostKeys = 1U << 20;

    explicit KeyPartitions(std::size_t most_keys = kMostKeys) : most_keys_(most_keys) {}

    Seen see(std::string_view key, std::int32_t partition) {
        const std::size_t hash = std::hash<std::string_view>{}(key);
        if (const auto at = first_.find(hash); at != first_.end()) {
            return at->second == partition ? Seen::kHere : Seen::kElsewhere;
        }
        if (first_.size() == most_keys_) {
            return Seen::kNotRemembered;
        }
        first_.emplace(hash, partition);
        return Seen::kHere;
    }

private:
    std::size_t most_keys_;
    std::unordered_map<std::size_t, std::int32_t> first_;
};

}  // namespace llmopt_stream
