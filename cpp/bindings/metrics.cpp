#include "bindings/metrics.hpp"

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "aggregate/collected_values.hpp"
#include "aggregate/distinct_count.hpp"
#include "aggregate/edge_histogram.hpp"
#include "aggregate/endpoint_statistics.hpp"
#include "aggregate/exact_percentiles.hpp"
#include "aggregate/heavy_hitters.hpp"
#include "aggregate/joint_statistics.hpp"
#include "aggregate/kll_percentiles.hpp"
#include "aggregate/log_bucket_histogram.hpp"
#include "aggregate/selected_metric.hpp"
#include "aggregate/shape_statistics.hpp"
#include "aggregate/strict_metric.hpp"
#include "aggregate/value_statistics.hpp"
#include "bindings/plan.hpp"
#include "bindings/settings.hpp"
#include "bindings/user_function.hpp"
#include "bindings/user_metric.hpp"
#include "record/error.hpp"

namespace llmopt_stream::bindings {
namespace {

/// (kind, percentile, result name)
using StatisticTuple = std::tuple<std::string, double, std::string>;

/// The only value column that a metric reads.
std::size_t column_of(const py::dict& settings) {
    return setting<std::vector<std::size_t>>(settings, "columns").at(0);
}

MetricFactory value_statistics_of(const py::dict& settings) {
    std::vector<Aggregation> aggregations;
    const auto field = setting<std::string>(settings, "field");
    for (const auto& [kind, percentile, name] :
         setting<std::vector<StatisticTuple>>(settings, "statistics")) {
        aggregations.push_back({aggregation_kind_of(kind), percentile, name, field});
    }
    return [column = column_of(settings),
            aggregations = std::move(aggregations)](const std::vector<FieldType>& types) {
        return std::make_shared<const ValueStatistics>(column, types.at(column), aggregations);
    };
}

template <typename Statistics, typename Choice>
MetricFactory chosen_statistics_of(const py::dict& settings, const char* second_name, Choice first,
                                   Choice second) {
    std::vector<typename Statistics::Result> results;
    for (const auto& [kind, percentile, name] :
         setting<std::vector<StatisticTuple>>(settings, "statistics")) {
        results.push_back({kind == second_name ? second : first, name});
    }
    return [column = column_of(settings), results = std::move(results)](const std::vector<FieldType>& types) {
        return std::make_shared<const Statistics>(column, types.at(column), results);
    };
}

using JointTuple = std::tuple<std::string, std::string, double, std::size_t>;

MetricFactory joint_statistics_of(const py::dict& settings) {
    using Kind = JointStatistics::Kind;
    static const std::map<std::string, Kind> kKinds = {
        {"ratio", Kind::kRatio},
        {"weighted_average", Kind::kWeightedAverage},
        {"covariance", Kind::kCovariance},
        {"covariance_sample", Kind::kCovarianceSample},
        {"correlation", Kind::kCorrelation},
        {"slope", Kind::kSlope},
        {"intercept", Kind::kIntercept},
        {"determination", Kind::kDetermination},
    };
    std::vector<JointStatistics::Result> results;
    for (const auto& [kind, name, scale, regressor] :
         setting<std::vector<JointTuple>>(settings, "statistics")) {
        results.push_back({kKinds.at(kind), name, scale, regressor});
    }
    return [columns = setting<std::vector<std::size_t>>(settings, "columns"),
            by_time = setting<bool>(settings, "by_time"),
            results = std::move(results)](const std::vector<FieldType>& types) {
        std::vector<JointStatistics::Field> fields;
        for (const std::size_t column : columns) {
            fields.push_back({column, types.at(column)});
        }
        if (by_time) {
            fields.emplace_back();
        }
        return std::make_shared<const JointStatistics>(std::move(fields), results);
    };
}

/// The only label column that a metric reads.
std::size_t label_of(const py::dict& settings) {
    return setting<std::vector<std::size_t>>(settings, "labels").at(0);
}

std::string only_result_of(const py::dict& settings) {
    return setting<std::vector<std::string>>(settings, "results").at(0);
}

/// One that is made with these arguments, whatever the types of fields are.
template <typename Made, typename... Arguments>
MetricFactory always(Arguments... arguments) {
    return [metric = std::make_shared<const Made>(std::move(arguments)...)](
               const std::vector<FieldType>&) -> std::shared_ptr<const Metric> { return metric; };
}

std::vector<PercentileMetric::Result> percentiles_of(const py::dict& settings) {
    std::vector<PercentileMetric::Result> results;
    const auto names = setting<std::vector<std::string>>(settings, "results");
    for (const double percent : setting<std::vector<double>>(settings, "percentiles")) {
        results.push_back({percent, names.at(results.size())});
    }
    return results;
}

MetricFactory unwrapped_metric_of(const py::dict& settings) {
    const auto kind = setting<std::string>(settings, "kind");
    if (kind == "values") {
        return value_statistics_of(settings);
    }
    if (kind == "endpoints") {
        using End = EndpointStatistics::End;
        return chosen_statistics_of<EndpointStatistics>(settings, "last", End::kFirst, End::kLast);
    }
    if (kind == "shape") {
        using Shape = ShapeStatistics::Shape;
        return chosen_statistics_of<ShapeStatistics>(settings, "kurtosis", Shape::kSkewness,
                                                     Shape::kKurtosis);
    }
    if (kind == "joint") {
        return joint_statistics_of(settings);
    }
    if (kind == "user") {
        return user_metric_of(settings);
    }
    if (kind == "apply") {
        return user_function_of(settings);
    }
    if (kind == "distinct") {
        return always<DistinctCount>(label_of(settings), setting<int>(settings, "precision"),
                                     only_result_of(settings));
    }
    if (kind == "heavy_hitters") {
        return always<HeavyHitters>(label_of(settings), setting<std::size_t>(settings, "k"),
                                    setting<std::size_t>(settings, "capacity"), only_result_of(settings));
    }
    if (kind == "exact_percentiles") {
        return always<ExactPercentiles>(column_of(settings), percentiles_of(settings));
    }
    if (kind == "kll_percentiles") {
        return always<KllPercentiles>(column_of(settings), percentiles_of(settings),
                                      setting<std::uint32_t>(settings, "k"));
    }
    if (kind == "edge_histogram") {
        return always<EdgeHistogram>(column_of(settings), setting<std::vector<double>>(settings, "edges"),
                                     only_result_of(settings));
    }
    if (kind == "log_bucket_histogram") {
        return always<LogBucketHistogram>(column_of(settings), setting<int>(settings, "bins"),
                                          only_result_of(settings));
    }
    if (kind == "collect") {
        return always<CollectedValues>(label_of(settings), setting<std::size_t>(settings, "limit"),
                                       only_result_of(settings));
    }
    throw Error(ErrorKind::kConfiguration, "metric: '" + kind + "' is not known");
}

}  // namespace

MetricFactory metric_of(const py::dict& settings) {
    MetricFactory make = unwrapped_metric_of(settings);
    const auto selection = setting<std::optional<std::size_t>>(settings, "selection");
    const auto refuses_nulls = setting<bool>(settings, "refuses_nulls");
    if (!selection && !refuses_nulls) {
        return make;
    }
    std::vector<StrictMetric::Field> fields;
    const auto columns = setting<std::vector<std::size_t>>(settings, "columns");
    for (const auto& name : setting<std::vector<std::string>>(settings, "fields")) {
        fields.push_back({name, columns.at(fields.size()), false});
    }
    const auto labels = setting<std::vector<std::size_t>>(settings, "labels");
    for (const auto& name : setting<std::vector<std::string>>(settings, "label_fields")) {
        fields.push_back({name, labels.at(fields.size() - columns.size()), true});
    }
    return [selection, refuses_nulls, fields = std::move(fields),
            make = std::move(make)](const std::vector<FieldType>& types) {
        std::shared_ptr<const Metric> metric = make(types);
        if (refuses_nulls) {
            metric = std::make_shared<const StrictMetric>(fields, std::move(metric));
        }
        if (selection) {
            metric = std::make_shared<const SelectedMetric>(*selection, std::move(metric));
        }
        return metric;
    };
}

}  // namespace llmopt_stream::bindings
