#include "bindings/bindings.hpp"
#include "record/iso8601.hpp"

namespace llmopt_stream::bindings {

void bind_time(py::module_& module) {
    module.def(
        "parse_iso8601", [](std::string_view text) { return parse_iso8601(text); }, py::arg("text"),
        "Microseconds since the epoch of an ISO-8601 time, or None.");
}

}  // namespace llmopt_stream::bindings
