#pragma once

// The only include of pybind11: every binding file sees the same casters.
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

namespace llmopt_stream::bindings {
namespace py = pybind11;
}
