#pragma once

#include "bindings/pybind.hpp"

namespace llmopt_stream::bindings {

/// One of the settings that Python's plan gives by name, already checked there.
template <typename Value>
[[nodiscard]] Value setting(const py::dict& settings, const char* name) {
    return settings[name].cast<Value>();
}

}  // namespace llmopt_stream::bindings
