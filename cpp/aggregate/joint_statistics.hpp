#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "aggregate/double_double.hpp"
#include "aggregate/metric.hpp"

namespace llmopt_stream {

/// Statistics of several fields of the same records: ratio of sums, weighted average, covariance,
/// correlation, linear least squares. A record counts where every field has a value.
///
/// From sums of values and of their products in twice the precision of a double, so that the order of
/// records hardly matters; a result that leaves a double's range is absent. A field without spread has no
/// correlation and explains nothing.
class JointStatistics final : public Metric {
public:
    enum class Kind : std::uint8_t {
        kRatio,             ///< scale * sum of field 0 / sum of field 1
        kWeightedAverage,   ///< of field 0, weighted by field 1
        kCovariance,        ///< of fields 0 and 1, of the population
        kCovarianceSample,  ///< absent for one record
        kCorrelation,       ///< Pearson's
        kSlope,             ///< of field 0 over field `regressor`, all others held
        kIntercept,         ///< of field 0 where all others are 0; where the window starts, for event time
        kDetermination,     ///< R², how much of the variance of field 0 the others explain
    };
    struct Result {
        Kind kind;
        std::string name;
        double scale = 1;
        std::size_t regressor = 1;
    };
    struct Field {
        /// The value column; nothing for event time, in seconds. Only the last field can be event time.
        std::optional<std::size_t> column;
        FieldType type = FieldType::kFloat64;
    };

    JointStatistics(std::vector<Field> fields, std::vector<Result> results);

    [[nodiscard]] std::size_t state_bytes() const noexcept override { return bytes_; }
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
    [[nodiscard]] bool reads_time() const noexcept override;

private:
    struct Fit;

    [[nodiscard]] std::size_t sum_at(std::size_t field) const noexcept;
    [[nodiscard]] std::size_t product_at(std::size_t product) const noexcept;
    [[nodiscard]] std::size_t extremes_at(std::size_t field) const noexcept;
    [[nodiscard]] std::optional<DoubleDouble> value_of(std::size_t field, const RecordBatch& batch,
                                                       std::size_t record) const noexcept;
    [[nodiscard]] std::size_t product_of(std::size_t a, std::size_t b) const noexcept;
    void add_record(std::byte* state, std::span<const DoubleDouble> values) const noexcept;
    /// Makes a state of times measured from its origin one of times measured from another one.
    void move_origin(std::byte* state, Timestamp origin) const noexcept;
    [[nodiscard]] DoubleDouble total(const std::byte* state, std::size_t field) const noexcept;
    /// The sum of products of deviations from the means.
    [[nodiscard]] DoubleDouble comoment(const std::byte* state, std::size_t a, std::size_t b) const noexcept;
    [[nodiscard]] bool has_spread(const std::byte* state, std::size_t field) const noexcept;
    [[nodiscard]] Fit fit(const std::byte* state, const Interval& window) const;
    [[nodiscard]] std::optional<double> result(const std::byte* state, const Result& asked,
                                               const Fit& fit) const noexcept;

    std::vector<Field> fields_;
    std::vector<Result> results_;
    /// Pairs of fields whose products are summed, the smaller one first.
    std::vector<std::pair<std::size_t, std::size_t>> products_;
    bool keeps_extremes_ = false;
    bool fits_ = false;
    bool has_time_ = false;
    std::size_t bytes_ = 0;
};

}  // namespace llmopt_stream
