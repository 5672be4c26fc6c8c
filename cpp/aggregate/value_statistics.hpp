#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <variant>
#include <vector>

#include "aggregate/aggregation.hpp"
#include "aggregate/double_double.hpp"
#include "aggregate/metric.hpp"
#include "aggregate/size_class_pool.hpp"
#include "aggregate/value_statistics_add.hpp"
#include "aggregate/value_statistics_layout.hpp"
#include "record/record_batch.hpp"
#include "state/byte_codec.hpp"

namespace llmopt_stream {

/// One result: null, an integer or a float.
using MetricValue = std::variant<std::monostate, std::int64_t, double>;

/// Statistics of one value column: count, moments up to the second, extremes, percentiles. Only what the
/// aggregations need is kept, as ValueLayout places it.
///
/// A value is taken iff it is finite (float) or present (int). -0.0 counts as 0.0. Integer sums are exact
/// in 128 bits.
class ValueStatistics final : public Metric {
public:
    /// `column` is the place of the values in a batch. Throws Error(kConfiguration) unless percentiles lie
    /// in [0, 100].
    ValueStatistics(std::size_t column, FieldType type, std::vector<Aggregation> aggregations);

    [[nodiscard]] FieldType type() const noexcept { return type_; }

    [[nodiscard]] std::size_t state_bytes() const noexcept override { return layout_.bytes; }
    void create(std::byte* state) const noexcept override;
    void destroy(std::byte* state, SizeClassPool& pool) const noexcept override;
    std::uint64_t add(std::span<std::byte* const> rows, std::size_t offset, const RecordBatch& batch,
                      std::size_t first, SizeClassPool& pool) const override;
    void merge(std::byte* into, const std::byte* from, SizeClassPool& pool) const override;
    void make_result_columns(std::vector<ResultColumn>& columns) const override;
    /// Throws Error(kAggregation), with nothing appended, if an integer sum leaves int64.
    void append_results(const std::byte* state, const Interval& window,
                        std::span<ResultColumn> results) const override;
    void append_all_results(std::span<const std::byte* const> states, std::size_t offset,
                            const Interval& window, std::span<ResultColumn> results) const override;
    void encode(const std::byte* state, ByteWriter& out) const override;
    void decode(std::byte* state, ByteReader& in, SizeClassPool& pool) const override;

    /// One value, of the type of the column. Returns whether it was taken.
    bool add_one(std::byte* state, double value, SizeClassPool& pool) const;
    bool add_one(std::byte* state, std::int64_t value, SizeClassPool& pool) const;
    /// One statistic alone. Throws Error(kAggregation) if it leaves int64, if the metric does not keep what
    /// it needs, or for a rate, which needs a window.
    [[nodiscard]] MetricValue result(const std::byte* state, const Aggregation& aggregation) const;
    [[nodiscard]] std::uint64_t count(const std::byte* state) const noexcept {
        return load_part<std::uint64_t>(state);
    }
    /// The bound on the relative error of percentiles; 0 where they are exact.
    [[nodiscard]] double percentile_error(const std::byte* state) const noexcept;

private:
    void append_percentiles(std::span<const std::byte* const> states, std::size_t offset,
                            std::span<ResultColumn> results) const;
    [[nodiscard]] bool is_integer() const noexcept { return type_ == FieldType::kInt64; }
    /// One statistic, rates included.
    [[nodiscard]] MetricValue result_in(const std::byte* state, const Aggregation& aggregation,
                                        const Interval& window) const;
    [[nodiscard]] MetricValue sum(const std::byte* state, const Aggregation& aggregation) const;
    /// The sum in twice the precision of a double.
    [[nodiscard]] DoubleDouble wide_sum(const std::byte* state) const noexcept;
    [[nodiscard]] double average(const std::byte* state) const noexcept;
    using Deviation = double (*)(DoubleDouble, DoubleDouble, std::uint64_t, std::uint64_t, double) noexcept;
    [[nodiscard]] double deviation(const std::byte* state, std::uint64_t divisor,
                                   Deviation statistic) const noexcept;
    [[nodiscard]] MetricValue range(const std::byte* state, const Aggregation& aggregation) const;
    [[nodiscard]] MetricValue rate(const std::byte* state, AggregationKind kind,
                                   const Interval& window) const noexcept;
    [[nodiscard]] MetricValue extreme(const std::byte* part) const noexcept;
    [[nodiscard]] double extreme_as_double(const std::byte* part) const noexcept;

    std::size_t column_;
    FieldType type_;
    std::vector<Aggregation> aggregations_;
    ValueParts parts_;
    ValueLayout layout_;
    AddValuesFunction add_;
    std::vector<double> percents_;  // of the percentiles, in the order of aggregations_
};

}  // namespace llmopt_stream
