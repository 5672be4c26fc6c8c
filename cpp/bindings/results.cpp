#include "bindings/results.hpp"

#include <memory>
#include <utility>

#include "bindings/bindings.hpp"
#include "record/key.hpp"
#include "sink/pane_export.hpp"

namespace llmopt_stream::bindings {
namespace {

py::object nested_value(const ResultValue& result) {
    return std::visit(
        [](const auto& value) -> py::object {
            using Value = std::decay_t<decltype(value)>;
            if constexpr (std::is_same_v<Value, std::monostate>) {
                return py::none();
            } else if constexpr (std::is_same_v<Value, ResultList>) {
                py::list list;
                for (const ResultValue& item : value) {
                    list.append(nested_value(item));
                }
                return list;
            } else if constexpr (std::is_same_v<Value, ResultFields>) {
                py::dict fields;
                for (const auto& [name, field] : value) {
                    fields[py::str(name)] = nested_value(field);
                }
                return fields;
            } else {
                return py::cast(value);
            }
        },
        result.value);
}

/// (start, end, key values, {result: value}, timing, index, is_last, [(start, end)])
py::tuple row(const NamedPanes& self, std::size_t pane) {
    const PaneTable& panes = self.panes;
    if (pane >= panes.size()) {
        throw py::index_error("pane index out of range");
    }
    const py::dict results;
    for (const ResultColumn& column : panes.results) {
        results[py::str(column.name)] = python_value(column, pane);
    }
    py::list replaces;
    for (std::uint64_t at = pane == 0 ? 0 : panes.replaces_ends[pane - 1]; at < panes.replaces_ends[pane];
         ++at) {
        replaces.append(py::make_tuple(panes.replaces[at].start, panes.replaces[at].end));
    }
    return py::make_tuple(panes.start[pane], panes.end[pane], key_tuple(panes.key(pane)), results,
                          timing_name(panes.timing[pane]), panes.index[pane], panes.is_last[pane] != 0,
                          std::move(replaces));
}

void release_stream(PyObject* capsule) {
    auto* const stream = static_cast<ArrowArrayStream*>(PyCapsule_GetPointer(capsule, "arrow_array_stream"));
    if (stream != nullptr) {
        if (stream->release != nullptr) {
            stream->release(stream);
        }
        delete stream;
    }
}

py::capsule arrow_stream(const NamedPanes& self, const py::object&) {
    auto stream = std::make_unique<ArrowArrayStream>();
    stream->release = nullptr;
    export_table(pane_columns(self.panes, self.key_names), stream.get());
    PyObject* const capsule = PyCapsule_New(stream.get(), "arrow_array_stream", release_stream);
    if (capsule == nullptr) {
        stream->release(stream.get());
        throw py::error_already_set();
    }
    static_cast<void>(stream.release());  // the capsule has it now
    return py::reinterpret_steal<py::capsule>(capsule);
}

}  // namespace

py::object python_value(const ResultColumn& column, std::size_t pane) {
    if (column.present[pane] == 0) {
        return py::none();
    }
    switch (column.type) {
        case ResultType::kInt64: return py::int_(column.int64[pane]);
        case ResultType::kNested: return nested_value(column.nested[pane]);
        default: return py::float_(column.float64[pane]);
    }
}

py::tuple key_tuple(std::string_view encoded) {
    const std::vector<KeyValue> values = key_encoding::decode(encoded);
    py::tuple key(values.size());
    for (std::size_t field = 0; field < values.size(); ++field) {
        key[field] = std::visit(
            [](const auto& value) -> py::object {
                using Value = std::decay_t<decltype(value)>;
                if constexpr (std::is_same_v<Value, std::monostate>) {
                    return py::none();
                } else {
                    return py::cast(value);
                }
            },
            values[field]);
    }
    return key;
}

void bind_results(py::module_& module) {
    py::class_<NamedPanes>(module, "Panes", "Panes in firing order, as columns.")
        .def("__len__", [](const NamedPanes& self) { return self.panes.size(); })
        .def("row", &row, py::arg("index"),
             "(start, end, key values, {result: value}, timing, index, is_last, replaced intervals).")
        .def("copy", [](const NamedPanes& self) { return self; })
        .def(
            "append",
            [](NamedPanes& self, NamedPanes& later) {
                PaneTable moved = later.panes;
                self.panes.append(std::move(moved));
            },
            py::arg("later"), "Adds the panes of a later drain of the same pipeline.")
        .def_property_readonly(
            "fired_at", [](const NamedPanes& self) { return self.panes.fired_at; },
            "How many input records had been taken when each fired.")
        .def_property_readonly("key_names", [](const NamedPanes& self) { return self.key_names; })
        .def_property_readonly("result_names",
                               [](const NamedPanes& self) {
                                   std::vector<std::string> names;
                                   for (const ResultColumn& column : self.panes.results) {
                                       names.push_back(column.name);
                                   }
                                   return names;
                               })
        .def("__arrow_c_stream__", &arrow_stream, py::arg("requested_schema") = py::none(),
             "The Arrow PyCapsule interface: one record batch.");
}

}  // namespace llmopt_stream::bindings
