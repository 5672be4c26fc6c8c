#include "bindings/bindings.hpp"

PYBIND11_MODULE(_core, module) {
    module.doc() = "The C++ core of llmopt_stream. Times and durations are microseconds.";
    using namespace llmopt_stream::bindings;
    bind_errors(module);
    bind_time(module);
    bind_windows(module);
    bind_aggregates(module);
    bind_results(module);
    bind_sources(module);
    bind_generator(module);
    bind_state(module);
    bind_checkpoints(module);
    bind_kafka(module);
    bind_pipeline(module);
    bind_join(module);
}
