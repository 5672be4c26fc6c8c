#pragma once

#include <string>
#include <tuple>
#include <vector>

#include "aggregate/aggregation.hpp"
#include "bindings/pybind.hpp"
#include "record/schema.hpp"
#include "window/window_plan.hpp"

namespace llmopt_stream::bindings {

/// (kind, percentile, result name) as Python hands over a statistic.
using AggregationTuple = std::tuple<std::string, double, std::string>;

/// These throw Error(kConfiguration) on names that Python's checks should not let through.
[[nodiscard]] std::vector<Aggregation> aggregations_of(const std::vector<AggregationTuple>& tuples);
[[nodiscard]] FieldType field_type_of(const std::string& name);
[[nodiscard]] WindowKind window_kind_of(const std::string& name);
[[nodiscard]] TimeUnit time_unit_of(const std::string& name);

}  // namespace llmopt_stream::bindings
