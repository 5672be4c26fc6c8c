#pragma once

#include <utility>

#include "aggregate/metric_row.hpp"
#include "window/key_interner.hpp"

namespace llmopt_stream {

/// What all state of one operator shares: the layout of rows, their memory, the keys.
struct SliceContext {
    explicit SliceContext(MetricRow layout) : row(std::move(layout)), keys(pool) {}

    const MetricRow row;
    SizeClassPool pool;
    KeyInterner keys;
};

}  // namespace llmopt_stream
