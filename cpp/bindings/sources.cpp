#include "bindings/bindings.hpp"
#include "source/ndjson_reader.hpp"

namespace llmopt_stream::bindings {

void bind_sources(py::module_& module) {
    py::class_<NdjsonReader>(module, "NdjsonReader",
                             "Newline-delimited JSON from a file, or \"-\" for standard input.")
        .def(py::init<std::string>(), py::arg("path"))
        .def_property_readonly("bytes_read", &NdjsonReader::bytes_read)
        .def_property_readonly("total_bytes", &NdjsonReader::total_bytes, "0 if unknown.");
}

}  // namespace llmopt_stream::bindings
