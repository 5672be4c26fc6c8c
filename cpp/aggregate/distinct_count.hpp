#pragma once

#include <cstddef>
#include <string>

#include "aggregate/metric.hpp"

namespace llmopt_stream {

/// How many different values a field has, of any type, nulls aside; by HyperLogLog. A function of the set of
/// values.
class DistinctCount final : public Metric {
public:
    /// `label` is the place of the field among the labels of a batch. Throws Error(kConfiguration) unless the
    /// precision is one that HyperLogLog has.
    DistinctCount(std::size_t label, int precision, std::string name);

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
    std::size_t label_;
    int precision_;
    std::string name_;
};

}  // namespace llmopt_stream
