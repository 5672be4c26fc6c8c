#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "aggregate/metric.hpp"

namespace llmopt_stream {

/// Skewness and excess kurtosis of a value column, of the population (g1 and g2 in Joanes and Gill, 1998);
/// absent where all values are equal. From sums of the first four powers of the deviations from one of the
/// values, in twice the precision of a double: good to about 1e-30 * count^2 wherever the values lie, and
/// within the bounds that any values keep. Absent, too, where a third or fourth power of the spread leaves a
/// double's range, as beyond 1e75 or below 1e-77.
class ShapeStatistics final : public Metric {
public:
    enum class Shape : std::uint8_t { kSkewness, kKurtosis };
    struct Result {
        Shape shape;
        std::string name;
    };

    ShapeStatistics(std::size_t column, FieldType type, std::vector<Result> results)
        : column_(column), type_(type), results_(std::move(results)) {}

    [[nodiscard]] std::size_t state_bytes() const noexcept override;
    void create(std::byte* state) const noexcept override;
    void destroy(std::byte*, SizeClassPool&) const noexcept override {}
    std::uint64_t add(std::span<std::byte* const> rows, std::size_t offset, const RecordBatch& batch,
                      std::size_t first, SizeClassPool& pool) const override;
    void merge(std::byte* into, const std::byte* from, SizeClassPool& pool) const override;
    void make_result_columns(std::vector<ResultColumn>& columns) const override;
    void append_results(const std::byte* state, const Interval& window,
                        std::span<ResultColumn> results) const override;
    void encode(const std::byte* state, ByteWriter& out) const override;
    void decode(std::byte* state, ByteReader& in, SizeClassPool& pool) const override;

private:
    std::size_t column_;
    FieldType type_;
    std::vector<Result> results_;
};

}  // namespace llmopt_stream
