#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "window/key_interner.hpp"

namespace llmopt_stream {

/// The places of keys in the order of the keys' values. Keys are sorted by the first eight bytes behind
/// what all of them begin with, which tells most of them apart, and only then compared in full.
class KeyOrder {
public:
    explicit KeyOrder(const KeyInterner& keys) : keys_(&keys) {}

    /// For each key, least first, its place among the codes, which are of different keys. Valid until the
    /// next call.
    [[nodiscard]] std::span<const std::uint32_t> places_of(std::span<const KeyInterner::Code> codes);

private:
    struct Item {
        std::uint64_t bytes;  // big-endian
        std::uint32_t place;
    };

    void sort_by_bytes();
    void sort_by_digits(std::uint64_t varying);

    const KeyInterner* keys_;
    std::vector<Item> items_;
    std::vector<Item> sorted_;
    std::vector<std::uint32_t> places_;
};

}  // namespace llmopt_stream
