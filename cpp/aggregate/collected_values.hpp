#pragma once

#include <cstddef>
#include <string>

#include "aggregate/metric.hpp"

namespace llmopt_stream {

/// The values of a field, of any type, nulls aside, of the first records by event time that have one, as a
/// list. Of records at the same time the lesser values come first, so that the list is a function of the
/// records, not of their order.
class CollectedValues final : public Metric {
public:
    /// `label` is the place of the field among the labels of a batch. Throws Error(kConfiguration) unless
    /// 1 <= limit <= kGreatestLimit.
    CollectedValues(std::size_t label, std::size_t limit, std::string name);

    static constexpr std::size_t kGreatestLimit = 1'000'000;

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

    [[nodiscard]] bool reads_time() const noexcept override { return true; }

private:
    std::size_t label_;
    std::size_t limit_;
    std::string name_;
};

}  // namespace llmopt_stream
