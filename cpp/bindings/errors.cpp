#include "bindings/bindings.hpp"
#include "kafka/kafka_error.hpp"
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
        case ErrorKind::kKafka: return "KafkaError";
        default: return "PipelineError";
    }
}

}  // namespace

void bind_errors(py::module_&) {
    // NOLINTNEXTLINE(performance-unnecessary-value-param): so pybind11 wants it
    py::register_exception_translator([](std::exception_ptr raised) {
        try {
            if (raised) {
                std::rethrow_exception(raised);
            }
        } catch (const KafkaFailure& failure) {
            const py::object error =
                py::module_::import("llmopt_stream.errors").attr("KafkaError")(failure.what());
            error.attr("code") = failure.code();
            error.attr("retriable") = failure.retriable();
            PyErr_SetObject(py::type::of(error).ptr(), error.ptr());
        } catch (const Error& error) {
            const py::object type =
                py::module_::import("llmopt_stream.errors").attr(python_name(error.kind()));
            py::set_error(type, error.what());
        }
    });
}

}  // namespace llmopt_stream::bindings
