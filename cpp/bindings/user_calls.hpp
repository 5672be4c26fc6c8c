#pragma once

#include <memory>

#include "aggregate/result_value.hpp"
#include "bindings/pybind.hpp"

namespace llmopt_stream::bindings {

/// Shares what holds Python objects among threads that may not hold the GIL when they let go of it.
template <typename T>
[[nodiscard]] std::shared_ptr<T> share_python(T* owned) {
    return {owned, [](T* last) {
                const py::gil_scoped_acquire gil;
                delete last;
            }};
}

/// Throws the exception on unless it is an ordinary one: an interrupt or an exit is not for error policies.
void let_out_if_no_error(const py::error_already_set& raised);

/// What users' code returned as a result, if it is none of several; `plain` gives those as dicts and refuses
/// what is no result.
[[nodiscard]] ResultValue result_value_of(py::handle result, const py::object& plain);

}  // namespace llmopt_stream::bindings
