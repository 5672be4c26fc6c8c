#pragma once

#include "bindings/pybind.hpp"
#include "pipeline/branch.hpp"

namespace llmopt_stream::bindings {

/// A branch from its settings by name, as Python's plan gives them.
[[nodiscard]] BranchPlan branch_of(const py::dict& settings);

}  // namespace llmopt_stream::bindings
