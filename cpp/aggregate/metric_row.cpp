#include "aggregate/metric_row.hpp"

#include <utility>

namespace llmopt_stream {

MetricRow::MetricRow(std::vector<Source> sources) {
    std::size_t first_result = 0;
    for (Source& source : sources) {
        const std::size_t bytes = source.metric.state_bytes();
        const std::size_t results = source.metric.aggregations().size();
        metrics_.push_back(Placed{std::move(source), bytes_, first_result, results});
        bytes_ += bytes;
        first_result += results;
    }
}

void MetricRow::create(std::byte* row) const {
    for (const Placed& placed : metrics_) {
        placed.source.metric.create(row + placed.offset);
    }
}

void MetricRow::destroy(std::byte* row, SizeClassPool& pool) const {
    for (const Placed& placed : metrics_) {
        placed.source.metric.destroy(row + placed.offset, pool);
    }
}

void MetricRow::merge(std::byte* into, const std::byte* from, SizeClassPool& pool) const {
    for (const Placed& placed : metrics_) {
        placed.source.metric.merge(into + placed.offset, from + placed.offset, pool);
    }
}

void MetricRow::add(std::span<std::byte* const> rows, const std::vector<ValueColumn>& columns,
                    std::size_t first_record, SizeClassPool& pool, std::span<std::uint64_t> skipped) const {
    for (std::size_t m = 0; m < metrics_.size(); ++m) {
        const auto& [metric, column] = metrics_[m].source;
        skipped[m] += metric.add(rows, metrics_[m].offset, columns[column], first_record, pool);
    }
}

std::vector<ResultColumn> MetricRow::make_result_columns() const {
    std::vector<ResultColumn> columns;
    for (const Placed& placed : metrics_) {
        placed.source.metric.make_result_columns(columns);
    }
    return columns;
}

void MetricRow::append_results(const std::byte* row, std::span<ResultColumn> results) const {
    for (const Placed& placed : metrics_) {
        placed.source.metric.append_results(row + placed.offset,
                                            results.subspan(placed.first_result, placed.results));
    }
}

void MetricRow::encode(const std::byte* row, ByteWriter& out) const {
    for (const Placed& placed : metrics_) {
        placed.source.metric.encode(row + placed.offset, out);
    }
}

void MetricRow::decode(std::byte* row, ByteReader& in, SizeClassPool& pool) const {
    for (const Placed& placed : metrics_) {
        placed.source.metric.decode(row + placed.offset, in, pool);
    }
}

}  // namespace llmopt_stream
