#include "bindings/user_calls.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <utility>

namespace llmopt_stream::bindings {
namespace {

/// Of None, numbers, truth values and text.
std::optional<ResultValue> scalar_of(py::handle result) {
    PyObject* const object = result.ptr();
    if (result.is_none()) {
        return ResultValue{};
    }
    if (PyBool_Check(object)) {
        return ResultValue{object == Py_True};
    }
    if (PyFloat_Check(object)) {
        return ResultValue{PyFloat_AS_DOUBLE(object)};
    }
    if (PyLong_Check(object)) {
        int overflow = 0;
        const long long value = PyLong_AsLongLongAndOverflow(object, &overflow);
        if (overflow == 0) {
            return ResultValue{static_cast<std::int64_t>(value)};
        }
        return std::nullopt;
    }
    if (PyUnicode_Check(object)) {
        Py_ssize_t size = 0;
        const char* const text = PyUnicode_AsUTF8AndSize(object, &size);
        if (text == nullptr) {
            throw py::error_already_set();
        }
        return ResultValue{std::string(text, static_cast<std::size_t>(size))};
    }
    return std::nullopt;
}

}  // namespace

void let_out_if_no_error(const py::error_already_set& raised) {
    if (!raised.matches(PyExc_Exception)) {
        throw;
    }
}

ResultValue result_value_of(py::handle result, const py::object& plain) {
    if (std::optional<ResultValue> scalar = scalar_of(result)) {
        return *std::move(scalar);
    }
    const py::object made = plain(result);
    if (std::optional<ResultValue> scalar = scalar_of(made)) {
        return *std::move(scalar);
    }
    ResultFields fields;
    for (const auto& [name, value] : made.cast<py::dict>()) {
        fields.push_back({py::cast<std::string>(name), scalar_of(value).value()});
    }
    return {std::move(fields)};
}

}  // namespace llmopt_stream::bindings
