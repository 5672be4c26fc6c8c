#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "aggregate/metric.hpp"

namespace llmopt_stream {

/// The first and the last value of a column by event time. Of values at the same time the least is the
/// first and the greatest the last, so that the results are a function of the records, not of their order.
class EndpointStatistics final : public Metric {
public:
    enum class End : std::uint8_t { kFirst, kLast };
    struct Result {
        End end;
        std::string name;
    };

    EndpointStatistics(std::size_t column, FieldType type, std::vector<Result> results)
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

    [[nodiscard]] bool reads_time() const noexcept override { return true; }

private:
    std::size_t column_;
    FieldType type_;
    std::vector<Result> results_;
};

}  // namespace llmopt_stream
