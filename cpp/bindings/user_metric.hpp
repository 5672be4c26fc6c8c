#pragma once

#include "bindings/pybind.hpp"
#include "pipeline/branch.hpp"

namespace llmopt_stream::bindings {

/// An aggregator written in Python: one value column, one result. Its settings have `calls`, the
/// AggregatorCalls of user_aggregator.py, which says what becomes of exceptions. The GIL is taken for each
/// call from the core.
[[nodiscard]] MetricFactory user_metric_of(const py::dict& settings);

}  // namespace llmopt_stream::bindings
