#pragma once

#include "bindings/pybind.hpp"
#include "pipeline/branch.hpp"

namespace llmopt_stream::bindings {

/// A metric from its settings by name, as Python's plan gives them. `kind` says which; what else there is
/// depends on it.
[[nodiscard]] MetricFactory metric_of(const py::dict& settings);

}  // namespace llmopt_stream::bindings
