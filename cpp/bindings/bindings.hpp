#pragma once

#include "bindings/pybind.hpp"

namespace llmopt_stream::bindings {

void bind_errors(py::module_& module);
void bind_time(py::module_& module);
void bind_windows(py::module_& module);
void bind_aggregates(py::module_& module);
void bind_results(py::module_& module);
void bind_sources(py::module_& module);
void bind_generator(py::module_& module);
void bind_state(py::module_& module);
void bind_checkpoints(py::module_& module);
void bind_kafka(py::module_& module);
void bind_pipeline(py::module_& module);
void bind_join(py::module_& module);

}  // namespace llmopt_stream::bindings
