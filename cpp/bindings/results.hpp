#pragma once

#include <string>
#include <vector>

#include "bindings/pybind.hpp"
#include "window/pane.hpp"

namespace llmopt_stream::bindings {

/// Panes with the names of their key fields: what Python holds of results.
struct NamedPanes {
    PaneTable panes;
    std::vector<std::string> key_names;
};

/// A result as Python has it: None, a number, text, a list or a dict.
[[nodiscard]] py::object python_value(const ResultColumn& column, std::size_t pane);

/// The fields of an encoded key as Python values.
[[nodiscard]] py::tuple key_tuple(std::string_view encoded);

}  // namespace llmopt_stream::bindings
