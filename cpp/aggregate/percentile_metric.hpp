#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "aggregate/metric.hpp"

namespace llmopt_stream {

/// Percentiles of a value column by nearest rank, by other means than ValueStatistics has. Integers are read
/// as doubles: rounding keeps their order.
class PercentileMetric : public Metric {
public:
    struct Result {
        /// In [0, 100]; read to 1e-9.
        double percent;
        std::string name;
    };

    /// `column` is the place of the values in a batch. Throws Error(kConfiguration) unless percents lie in
    /// [0, 100].
    PercentileMetric(std::size_t column, std::vector<Result> results);

    std::uint64_t add(std::span<std::byte* const> rows, std::size_t offset, const RecordBatch& batch,
                      std::size_t first, SizeClassPool& pool) const final;
    void make_result_columns(std::vector<ResultColumn>& columns) const final;
    void append_results(const std::byte* state, const Interval& window,
                        std::span<ResultColumn> results) const final;

    [[nodiscard]] virtual std::uint64_t count(const std::byte* state) const noexcept = 0;
    /// The values of nearest rank. Requires that there are any.
    [[nodiscard]] virtual std::vector<double> percentiles(const std::byte* state,
                                                          std::span<const double> percents) const = 0;

protected:
    /// A value that is finite and not -0.0.
    virtual void add_value(std::byte* state, double value, SizeClassPool& pool) const = 0;

private:
    std::size_t column_;
    std::vector<double> percents_;
    std::vector<std::string> names_;
};

}  // namespace llmopt_stream
