#pragma once

#include <string>

#include "aggregate/aggregation.hpp"
#include "bindings/pybind.hpp"
#include "record/schema.hpp"
#include "window/window_plan.hpp"

namespace llmopt_stream::bindings {

/// These throw Error(kConfiguration) on names that Python's checks should not let through.
[[nodiscard]] AggregationKind aggregation_kind_of(const std::string& name);
[[nodiscard]] FieldType field_type_of(const std::string& name);
[[nodiscard]] WindowKind window_kind_of(const std::string& name);
[[nodiscard]] TimeUnit time_unit_of(const std::string& name);

}  // namespace llmopt_stream::bindings
