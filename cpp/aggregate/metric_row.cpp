#include "aggregate/metric_row.hpp"

#include <utility>

#include "record/error.hpp"

namespace llmopt_stream {

MetricRow::MetricRow(Metrics metrics) {
    std::vector<ResultColumn> columns;
    for (std::shared_ptr<const Metric>& metric : metrics) {
        const std::size_t first_result = columns.size();
        metric->make_result_columns(columns);
        const std::size_t bytes = metric->state_bytes();
        runs_user_code_ |= metric->in_one_thread();
        metrics_.push_back({std::move(metric), bytes_, first_result, columns.size() - first_result});
        bytes_ += bytes;
    }
}

void MetricRow::create(std::byte* row) const {
    for (const Placed& placed : metrics_) {
        placed.metric->create(row + placed.offset);
    }
}

void MetricRow::destroy(std::byte* row, SizeClassPool& pool) const {
    for (const Placed& placed : metrics_) {
        placed.metric->destroy(row + placed.offset, pool);
    }
}

void MetricRow::merge(std::byte* into, const std::byte* from, SizeClassPool& pool) const {
    for (const Placed& placed : metrics_) {
        placed.metric->merge(into + placed.offset, from + placed.offset, pool);
    }
}

void MetricRow::add(std::span<std::byte* const> rows, const RecordBatch& batch, std::size_t first_record,
                    SizeClassPool& pool, std::span<std::uint64_t> skipped) const {
    for (std::size_t m = 0; m < metrics_.size(); ++m) {
        skipped[m] += metrics_[m].metric->add(rows, metrics_[m].offset, batch, first_record, pool);
    }
}

std::vector<ResultColumn> MetricRow::make_result_columns() const {
    std::vector<ResultColumn> columns;
    for (const Placed& placed : metrics_) {
        placed.metric->make_result_columns(columns);
    }
    return columns;
}

void MetricRow::append_results(const std::byte* row, const Interval& window,
                               std::span<ResultColumn> results) const {
    for (const Placed& placed : metrics_) {
        placed.metric->append_results(row + placed.offset, window,
                                      results.subspan(placed.first_result, placed.results));
    }
}

void MetricRow::append_pane_results(const std::byte* row, const PanePlace& pane,
                                    std::span<ResultColumn> results) const {
    for (const Placed& placed : metrics_) {
        placed.metric->append_pane_results(row + placed.offset, pane,
                                           results.subspan(placed.first_result, placed.results));
    }
}

bool MetricRow::append_all_results(std::span<const std::byte* const> rows, const Interval& window,
                                   std::span<ResultColumn> results) const {
    if (runs_user_code_) {
        return false;
    }
    const std::size_t size_before = results.empty() ? 0 : results.front().size();
    try {
        for (const Placed& placed : metrics_) {
            placed.metric->append_all_results(rows, placed.offset, window,
                                              results.subspan(placed.first_result, placed.results));
        }
    } catch (const Error&) {
        for (ResultColumn& column : results) {
            column.shrink(size_before);
        }
        return false;
    }
    return true;
}

void MetricRow::encode(const std::byte* row, ByteWriter& out) const {
    for (const Placed& placed : metrics_) {
        placed.metric->encode(row + placed.offset, out);
    }
}

void MetricRow::decode(std::byte* row, ByteReader& in, SizeClassPool& pool) const {
    for (const Placed& placed : metrics_) {
        placed.metric->decode(row + placed.offset, in, pool);
    }
}

}  // namespace llmopt_stream
