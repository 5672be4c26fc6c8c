#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "window/merged_rows.hpp"

namespace llmopt_stream {

/// The slots of one window's rows after the other's in the order of their keys' values.
/// Windows that follow each other have mostly the same keys, so each starts from the order of
/// the last: what is in order already is not sorted again.
class KeyOrder {
public:
    explicit KeyOrder(const KeyInterner& keys) : keys_(&keys) {}

    /// Valid until the next call.
    [[nodiscard]] std::span<const std::uint32_t> slots_of(const MergedRows& rows);

private:
    const KeyInterner* keys_;
    // Those of the last rows. Some may no longer be live, or mean other keys.
    std::vector<KeyInterner::Code> codes_;
    std::vector<std::uint32_t> slots_;
    std::vector<bool> placed_;
};

}  // namespace llmopt_stream
