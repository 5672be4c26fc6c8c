#include "bindings/bindings.hpp"
#include "record/error.hpp"

namespace llmopt_stream::bindings {
namespace {

const char* python_name(ErrorKind kind) noexcept {
    switch (kind) {
        case ErrorKind::kConfiguration: return "ConfigurationError";
        case ErrorKind::kAggregation: return "AggregationError";
        case ErrorKind::kState: return "StateError";
        case ErrorKind::kCheckpoint: return "CheckpointError";
        case ErrorKind::kSerialization: return "SerializationError";
        default: return "PipelineError";
    }
}

}  // namespace

void bind_errors(py::module_&) {
    py::register_exception_translator([](std::exception_ptr raised) {
        try {
            if (raised) {
                std::rethrow_exception(raised);
            }
        } catch (const Error& error) {
            const py::object type =
                py::module_::import("llmopt_stream.errors").attr(python_name(error.kind()));
            py::set_error(type, error.what());
        }
    });
}

}  // namespace llmopt_stream::bindings
