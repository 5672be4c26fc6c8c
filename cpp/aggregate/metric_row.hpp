#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "aggregate/metric.hpp"

namespace llmopt_stream {

/// The metrics of a plan, in order.
using Metrics = std::vector<std::shared_ptr<const Metric>>;

/// The layout of one row: the states of all metrics of a plan, one behind the other.
/// Rows are raw bytes that a slice owns; every operation on them goes through here.
class MetricRow {
public:
    explicit MetricRow(Metrics metrics);

    /// A multiple of 8.
    [[nodiscard]] std::size_t bytes() const noexcept { return bytes_; }

    void create(std::byte* row) const;
    void destroy(std::byte* row, SizeClassPool& pool) const;
    void merge(std::byte* into, const std::byte* from, SizeClassPool& pool) const;
    /// Folds records first_record, first_record + 1, … of the batch into rows[0], rows[1], …
    /// Adds to skipped[m] how many values metric m could not take (null, not finite, wrong type).
    void add(std::span<std::byte* const> rows, const RecordBatch& batch, std::size_t first_record,
             SizeClassPool& pool, std::span<std::uint64_t> skipped) const;
    [[nodiscard]] std::size_t metrics() const noexcept { return metrics_.size(); }
    [[nodiscard]] std::vector<ResultColumn> make_result_columns() const;
    void append_results(const std::byte* row, const Interval& window, std::span<ResultColumn> results) const;
    void append_pane_results(const std::byte* row, const PanePlace& pane,
                             std::span<ResultColumn> results) const;
    /// The same for many rows, in order. False, with nothing appended, where one at a time is the way: a
    /// metric runs a user's code, or has no result for some row.
    [[nodiscard]] bool append_all_results(std::span<const std::byte* const> rows, const Interval& window,
                                          std::span<ResultColumn> results) const;
    void encode(const std::byte* row, ByteWriter& out) const;
    /// Into a created row.
    void decode(std::byte* row, ByteReader& in, SizeClassPool& pool) const;

private:
    struct Placed {
        std::shared_ptr<const Metric> metric;
        std::size_t offset;
        std::size_t first_result;
        std::size_t results;
    };
    std::vector<Placed> metrics_;
    std::size_t bytes_ = 0;
    bool runs_user_code_ = false;
};

}  // namespace llmopt_stream
