#pragma once

#include "bindings/pybind.hpp"
#include "operator/record_steps.hpp"
#include "pipeline/branch.hpp"

namespace llmopt_stream::bindings {

/// ("filter", program) or ("deduplicate", label, ttl, false positive rate).
[[nodiscard]] RecordStep record_step_of(const py::tuple& settings);

/// A branch from its settings by name, as Python's plan gives them.
[[nodiscard]] BranchPlan branch_of(const py::dict& settings);

}  // namespace llmopt_stream::bindings
