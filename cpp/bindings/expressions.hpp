#pragma once

#include <vector>

#include "bindings/pybind.hpp"
#include "expression/expression.hpp"

namespace llmopt_stream::bindings {

/// From programs, each a list of (operation, argument, …) in postfix order, as Python's expressions give
/// them.
[[nodiscard]] std::vector<Expression> expressions_of(const py::list& programs);

}  // namespace llmopt_stream::bindings
