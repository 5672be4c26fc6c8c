#include "aggregate/percentile_metric.hpp"

#include <utility>

#include "aggregate/usable_values.hpp"
#include "record/error.hpp"

namespace llmopt_stream {

PercentileMetric::PercentileMetric(std::size_t column, std::vector<Result> results) : column_(column) {
    for (Result& result : results) {
        if (!(result.percent >= 0 && result.percent <= 100)) {
            throw Error(ErrorKind::kConfiguration, "'" + result.name +
                                                       "': a percentile must lie in [0, 100], got " +
                                                       std::to_string(result.percent));
        }
        percents_.push_back(result.percent);
        names_.push_back(std::move(result.name));
    }
}

std::uint64_t PercentileMetric::add(std::span<std::byte* const> rows, std::size_t offset,
                                    const RecordBatch& batch, std::size_t first, SizeClassPool& pool) const {
    return for_each_value(batch.values[column_], first, rows.size(), [&](std::size_t i, auto value) {
        add_value(rows[i] + offset, static_cast<double>(value), pool);
    });
}

void PercentileMetric::make_result_columns(std::vector<ResultColumn>& columns) const {
    for (const std::string& name : names_) {
        columns.push_back({name, ResultType::kFloat64});
    }
}

void PercentileMetric::append_results(const std::byte* state, const Interval&,
                                      std::span<ResultColumn> results) const {
    if (count(state) == 0) {
        for (ResultColumn& column : results) {
            column.append_null();
        }
        return;
    }
    const std::vector<double> values = percentiles(state, percents_);
    for (std::size_t i = 0; i < values.size(); ++i) {
        results[i].append(values[i]);
    }
}

}  // namespace llmopt_stream
