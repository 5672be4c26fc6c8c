#include "bindings/plan.hpp"

#include <array>
#include <string_view>
#include <utility>

#include "record/error.hpp"

namespace llmopt_stream::bindings {
namespace {

template <typename Value, std::size_t kSize>
Value lookup(const std::array<std::pair<std::string_view, Value>, kSize>& names, const std::string& name,
             const char* what) {
    for (const auto& [known, value] : names) {
        if (known == name) {
            return value;
        }
    }
    throw Error(ErrorKind::kConfiguration, std::string(what) + ": '" + name + "' is not known");
}

constexpr std::array<std::pair<std::string_view, AggregationKind>, 14> kAggregations{{
    {"count", AggregationKind::kCount},
    {"sum", AggregationKind::kSum},
    {"average", AggregationKind::kAverage},
    {"min", AggregationKind::kMin},
    {"max", AggregationKind::kMax},
    {"range", AggregationKind::kRange},
    {"variance", AggregationKind::kVariance},
    {"variance_sample", AggregationKind::kVarianceSample},
    {"stddev", AggregationKind::kStddev},
    {"stddev_sample", AggregationKind::kStddevSample},
    {"percentile", AggregationKind::kPercentile},
    {"rate", AggregationKind::kRate},
    {"sum_rate", AggregationKind::kSumRate},
    {"percentile_error", AggregationKind::kPercentileError},
}};
constexpr std::array<std::pair<std::string_view, FieldType>, 2> kFieldTypes{{
    {"float64", FieldType::kFloat64},
    {"int64", FieldType::kInt64},
}};
constexpr std::array<std::pair<std::string_view, WindowKind>, 7> kWindowKinds{{
    {"tumbling", WindowKind::kSliding},
    {"sliding", WindowKind::kSliding},
    {"cumulative", WindowKind::kCumulative},
    {"session", WindowKind::kSession},
    {"count", WindowKind::kCount},
    {"global", WindowKind::kGlobal},
    {"custom", WindowKind::kGiven},
}};
constexpr std::array<std::pair<std::string_view, TimeUnit>, 5> kTimeUnits{{
    {"", TimeUnit::kUnspecified},
    {"s", TimeUnit::kSecond},
    {"ms", TimeUnit::kMillisecond},
    {"us", TimeUnit::kMicrosecond},
    {"ns", TimeUnit::kNanosecond},
}};

}  // namespace

AggregationKind aggregation_kind_of(const std::string& name) {
    return lookup(kAggregations, name, "aggregation");
}

FieldType field_type_of(const std::string& name) { return lookup(kFieldTypes, name, "type"); }

WindowKind window_kind_of(const std::string& name) { return lookup(kWindowKinds, name, "window"); }

TimeUnit time_unit_of(const std::string& name) { return lookup(kTimeUnits, name, "unit"); }

}  // namespace llmopt_stream::bindings
