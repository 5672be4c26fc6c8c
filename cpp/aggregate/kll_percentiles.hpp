#pragma once

#include "aggregate/percentile_metric.hpp"

namespace llmopt_stream {

/// Percentiles by rank, from a KllSketch, which says what holds of them.
class KllPercentiles final : public PercentileMetric {
public:
    /// Throws Error(kConfiguration), too, unless k is one that KllSketch has.
    KllPercentiles(std::size_t column, std::vector<Result> results, std::uint32_t k);

    [[nodiscard]] std::size_t state_bytes() const noexcept override;
    void create(std::byte* state) const noexcept override;
    void destroy(std::byte* state, SizeClassPool& pool) const noexcept override;
    void merge(std::byte* into, const std::byte* from, SizeClassPool& pool) const override;
    void encode(const std::byte* state, ByteWriter& out) const override;
    void decode(std::byte* state, ByteReader& in, SizeClassPool& pool) const override;

    [[nodiscard]] std::uint64_t count(const std::byte* state) const noexcept override;
    [[nodiscard]] std::vector<double> percentiles(const std::byte* state,
                                                  std::span<const double> percents) const override;

protected:
    void add_value(std::byte* state, double value, SizeClassPool& pool) const override;

private:
    std::uint32_t k_;
};

}  // namespace llmopt_stream
