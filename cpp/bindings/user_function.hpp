#pragma once

#include "bindings/pybind.hpp"
#include "pipeline/branch.hpp"

namespace llmopt_stream::bindings {

/// A function written in Python of all records of a key and window. Its settings have `limit`, and `calls`,
/// the FunctionCalls of apply.py: `call(place, times, columns)` gives the result, and says what becomes of
/// exceptions; the columns are those of the labels.
[[nodiscard]] MetricFactory user_function_of(const py::dict& settings);

}  // namespace llmopt_stream::bindings
