#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "aggregate/aggregation.hpp"
#include "aggregate/double_double.hpp"
#include "aggregate/metric_add.hpp"
#include "aggregate/metric_layout.hpp"
#include "aggregate/size_class_pool.hpp"
#include "record/record_batch.hpp"
#include "state/byte_codec.hpp"

namespace llmopt_stream {

/// One result: null, an integer or a float.
using MetricValue = std::variant<std::monostate, std::int64_t, double>;

/// Everything kept of one value column for one key in one slice. The state is
/// state_bytes() raw bytes, aligned to 8, that the caller owns and may move with memcpy;
/// only what the aggregations need is kept. A sketch lies in the pool, so a state needs
/// destroy() unless its pool goes away as well.
///
/// A value is taken iff it is finite (float) or present (int). Adding is a fold in
/// arrival order: how the input is cut into calls changes no bit of the state.
/// -0.0 counts as 0.0. Integer sums are exact in 128 bits.
class Metric {
public:
    /// Throws Error(kConfiguration) unless percentiles lie in [0, 100].
    Metric(FieldType type, std::vector<Aggregation> aggregations);

    [[nodiscard]] FieldType type() const noexcept { return type_; }
    [[nodiscard]] const std::vector<Aggregation>& aggregations() const noexcept { return aggregations_; }
    [[nodiscard]] const MetricParts& parts() const noexcept { return parts_; }

    /// A multiple of 8.
    [[nodiscard]] std::size_t state_bytes() const noexcept { return layout_.bytes; }

    /// Makes an empty state.
    void create(std::byte* state) const noexcept;
    void destroy(std::byte* state, SizeClassPool& pool) const noexcept;

    /// Folds column[first + i] into the state at rows[i] + offset, for each i; rows may
    /// repeat. Returns how many values were not taken.
    std::uint64_t add(std::span<std::byte* const> rows, std::size_t offset, const ValueColumn& column,
                      std::size_t first, SizeClassPool& pool) const;
    /// One value, of the type of the column. Returns whether it was taken.
    bool add_one(std::byte* state, double value, SizeClassPool& pool) const;
    bool add_one(std::byte* state, std::int64_t value, SizeClassPool& pool) const;

    void merge(std::byte* into, const std::byte* from, SizeClassPool& pool) const;

    /// Appends an empty column for each aggregation, in order.
    void make_result_columns(std::vector<ResultColumn>& columns) const;
    /// Appends one value to each of the columns, which are those of make_result_columns().
    /// Throws Error(kAggregation), with nothing appended, if an integer sum leaves int64.
    void append_results(const std::byte* state, std::span<ResultColumn> results) const;

    /// One statistic alone. Throws Error(kAggregation) if it leaves int64, or if the
    /// metric does not keep what it needs.
    [[nodiscard]] MetricValue result(const std::byte* state, const Aggregation& aggregation) const;
    [[nodiscard]] std::uint64_t count(const std::byte* state) const noexcept {
        return load_part<std::uint64_t>(state);
    }
    /// The bound on the relative error of percentiles; 0 where they are exact.
    [[nodiscard]] double percentile_error(const std::byte* state) const noexcept;

    /// decode(encode()) restores a state exactly.
    void encode(const std::byte* state, ByteWriter& out) const;
    /// Into an empty state, which stays empty if the bytes are corrupt: Error(kCheckpoint).
    void decode(std::byte* state, ByteReader& in, SizeClassPool& pool) const;

private:
    [[nodiscard]] bool is_integer() const noexcept { return type_ == FieldType::kInt64; }
    [[nodiscard]] MetricValue sum(const std::byte* state, const Aggregation& aggregation) const;
    /// The sum in twice the precision of a double.
    [[nodiscard]] DoubleDouble wide_sum(const std::byte* state) const noexcept;
    [[nodiscard]] double average(const std::byte* state) const noexcept;
    [[nodiscard]] double stddev(const std::byte* state, std::uint64_t divisor) const noexcept;
    [[nodiscard]] MetricValue extreme(const std::byte* part) const noexcept;
    [[nodiscard]] double extreme_as_double(const std::byte* part) const noexcept;

    FieldType type_;
    std::vector<Aggregation> aggregations_;
    MetricParts parts_;
    MetricLayout layout_;
    MetricAddFunction add_;
    std::vector<double> percents_;  // of the percentiles, in the order of aggregations_
};

}  // namespace llmopt_stream
