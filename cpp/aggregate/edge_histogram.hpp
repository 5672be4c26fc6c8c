#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "aggregate/metric.hpp"

namespace llmopt_stream {

/// How many values lie between given edges, as a list of {lower, upper, count}: first those below all edges,
/// without lower; then lower <= value < upper; last those from the greatest edge on, without upper. A
/// function of the multiset of values. Integers are compared with the edges exactly.
class EdgeHistogram final : public Metric {
public:
    /// `column` is the place of the values in a batch. Throws Error(kConfiguration) unless there are edges,
    /// kMostEdges at most, finite and ascending.
    EdgeHistogram(std::size_t column, std::vector<double> edges, std::string name);

    static constexpr std::size_t kMostEdges = 10'000;

    [[nodiscard]] std::size_t state_bytes() const noexcept override;
    void create(std::byte* state) const noexcept override;
    void destroy(std::byte* state, SizeClassPool& pool) const noexcept override;
    std::uint64_t add(std::span<std::byte* const> rows, std::size_t offset, const RecordBatch& batch,
                      std::size_t first, SizeClassPool& pool) const override;
    void merge(std::byte* into, const std::byte* from, SizeClassPool& pool) const override;
    void make_result_columns(std::vector<ResultColumn>& columns) const override;
    void append_results(const std::byte* state, const Interval& window,
                        std::span<ResultColumn> results) const override;
    void encode(const std::byte* state, ByteWriter& out) const override;
    void decode(std::byte* state, ByteReader& in, SizeClassPool& pool) const override;

private:
    [[nodiscard]] std::size_t bucket_of(double value) const noexcept;
    [[nodiscard]] std::size_t bucket_of(std::int64_t value) const noexcept;

    std::size_t column_;
    std::vector<double> edges_;
    /// The least integers that are not below the edges, where there are any.
    std::vector<std::int64_t> integer_edges_;
    std::string name_;
};

}  // namespace llmopt_stream
