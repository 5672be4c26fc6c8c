#pragma once

#include "bindings/pybind.hpp"
#include "window/trigger.hpp"

namespace llmopt_stream::bindings {

/// A trigger from what the plan says: ("event_time",), ("count", n), ("processing_time", micros),
/// ("any_of", [part, …]), ("all_of", [part, …]), ("after_watermark", early or None, late or None) or
/// ("user", object), whose should_fire(start, end, watermark, waiting) and should_purge(start, end,
/// watermark) are called with the GIL held.
[[nodiscard]] Trigger trigger_of(const py::tuple& said);

}  // namespace llmopt_stream::bindings
