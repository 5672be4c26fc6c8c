#pragma once

#include <cstddef>
#include <string>

#include "aggregate/metric.hpp"

namespace llmopt_stream {

/// How many values lie in each bucket of a LogHistogram that has any, as a list of {lower, upper, count} by
/// ascending values: lower <= value < upper of positive values, lower < value <= upper of negative ones, and
/// 0 between 0 and 0. A bound beyond the greatest double is absent. A function of the multiset of values.
class LogBucketHistogram final : public Metric {
public:
    /// `column` is the place of the values in a batch; `most` is how many buckets the values of one sign
    /// may span: more are collapsed pair by pair. Throws Error(kConfiguration) unless
    /// 2 <= most <= LogHistogram::kMaxBuckets.
    LogBucketHistogram(std::size_t column, int most, std::string name);

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
    std::size_t column_;
    int most_;
    std::string name_;
};

}  // namespace llmopt_stream
