#pragma once

#include <cstdint>
#include <functional>
#include <utility>

#include "aggregate/metric_row.hpp"
#include "state/spill.hpp"
#include "window/key_interner.hpp"

namespace llmopt_stream {

/// Which keys, by the hash of their bytes, are to be taken out of encoded state; the others
/// are another shard's.
using KeyFilter = std::function<bool(std::uint64_t hash)>;

/// What all state of one operator shares: the layout of rows, their memory, the keys.
struct SliceContext {
    explicit SliceContext(MetricRow layout) : row(std::move(layout)), keys(pool) {}

    const MetricRow row;
    SizeClassPool pool;
    KeyInterner keys;
    /// Null where there is no memory budget.
    Spill* spill = nullptr;
};

}  // namespace llmopt_stream
