#include "aggregate/value_statistics.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <utility>

#include "aggregate/compensated_sum.hpp"
#include "aggregate/quantile_sketch.hpp"
#include "aggregate/sum_codec.hpp"

namespace llmopt_stream {

namespace {

ValueParts parts_of(const std::vector<Aggregation>& aggregations) {
    ValueParts parts;
    for (const Aggregation& aggregation : aggregations) {
        parts.include(aggregation.kind);
    }
    return parts;
}

bool includes(ValueParts parts, AggregationKind kind) noexcept {
    ValueParts with = parts;
    with.include(kind);
    return with == parts;
}

template <typename Value>
void merge_extremes(std::byte* into, const std::byte* from, const ValueLayout& layout) noexcept {
    store_part(into + layout.min,
               std::min(load_part<Value>(into + layout.min), load_part<Value>(from + layout.min)));
    store_part(into + layout.max,
               std::max(load_part<Value>(into + layout.max), load_part<Value>(from + layout.max)));
}

void merge_sums(std::byte* into, const std::byte* from, const ValueLayout& layout) noexcept {
    CompensatedSum sum = layout.load_sum(into);
    sum.merge(layout.load_sum(from));
    layout.store_sum(into, sum);
}

std::int64_t fitting(Int128 value, const char* what, const Aggregation& aggregation) {
    if (value < std::numeric_limits<std::int64_t>::min() ||
        value > std::numeric_limits<std::int64_t>::max()) {
        const std::string& field = aggregation.field;
        throw Error(ErrorKind::kAggregation, "'" + aggregation.result_name + "': the " + what +
                                                 " of an integer column" +
                                                 (field.empty() ? "" : ", field '" + field + "',") +
                                                 " does not fit into 64 bits; declare the field as a float");
    }
    return static_cast<std::int64_t>(value);
}

void append(const MetricValue& value, ResultColumn& column) {
    if (const auto* integer = std::get_if<std::int64_t>(&value)) {
        column.append(*integer);
    } else if (const auto* number = std::get_if<double>(&value)) {
        column.append(*number);
    } else {
        column.append_null();
    }
}

}  // namespace

ValueStatistics::ValueStatistics(std::size_t column, FieldType type, std::vector<Aggregation> aggregations)
    : column_(column),
      type_(type),
      aggregations_(std::move(aggregations)),
      parts_(parts_of(aggregations_)),
      layout_(parts_, type_),
      add_(add_values_function(type_, parts_)) {
    for (const Aggregation& aggregation : aggregations_) {
        if (aggregation.kind != AggregationKind::kPercentile) {
            continue;
        }
        if (!(aggregation.percentile >= 0 && aggregation.percentile <= 100)) {
            throw Error(ErrorKind::kConfiguration, "'" + aggregation.result_name +
                                                       "': a percentile must lie in [0, 100], got " +
                                                       std::to_string(aggregation.percentile));
        }
        percents_.push_back(aggregation.percentile);
    }
}

void ValueStatistics::create(std::byte* state) const noexcept {
    std::fill_n(state, layout_.bytes, std::byte{0});
    if (!parts_.extremes) {
        return;
    }
    if (is_integer()) {
        store_part(state + layout_.min, std::numeric_limits<std::int64_t>::max());
        store_part(state + layout_.max, std::numeric_limits<std::int64_t>::min());
    } else {
        store_part(state + layout_.min, std::numeric_limits<double>::infinity());
        store_part(state + layout_.max, -std::numeric_limits<double>::infinity());
    }
}

void ValueStatistics::destroy(std::byte* state, SizeClassPool& pool) const noexcept {
    if (parts_.sketch) {
        auto sketch = load_part<QuantileSketch>(state + layout_.sketch);
        sketch.destroy(pool);
        store_part(state + layout_.sketch, sketch);
    }
}

std::uint64_t ValueStatistics::add(std::span<std::byte* const> rows, std::size_t offset,
                                   const RecordBatch& batch, std::size_t first, SizeClassPool& pool) const {
    return add_(rows, offset, batch.values[column_], first, pool);
}

bool ValueStatistics::add_one(std::byte* state, double value, SizeClassPool& pool) const {
    if (is_integer()) {
        return false;
    }
    ValueColumn column;
    column.float64 = {&value, 1};
    return add_({&state, 1}, 0, column, 0, pool) == 0;
}

bool ValueStatistics::add_one(std::byte* state, std::int64_t value, SizeClassPool& pool) const {
    if (!is_integer()) {
        return add_one(state, static_cast<double>(value), pool);
    }
    ValueColumn column;
    column.type = FieldType::kInt64;
    column.int64 = {&value, 1};
    return add_({&state, 1}, 0, column, 0, pool) == 0;
}

void ValueStatistics::merge(std::byte* into, const std::byte* from, SizeClassPool& pool) const {
    store_part(into, count(into) + count(from));
    if (parts_.sum && is_integer()) {
        store_part(into + layout_.sum,
                   load_part<Int128>(into + layout_.sum) + load_part<Int128>(from + layout_.sum));
    } else if (parts_.sum) {
        merge_sums(into + layout_.sum, from + layout_.sum, layout_);
    }
    if (parts_.squares) {
        merge_sums(into + layout_.squares, from + layout_.squares, layout_);
    }
    if (parts_.extremes && is_integer()) {
        merge_extremes<std::int64_t>(into, from, layout_);
    } else if (parts_.extremes) {
        merge_extremes<double>(into, from, layout_);
    }
    if (parts_.sketch) {
        auto sketch = load_part<QuantileSketch>(into + layout_.sketch);
        sketch.merge(load_part<QuantileSketch>(from + layout_.sketch), pool);
        store_part(into + layout_.sketch, sketch);
    }
}

void ValueStatistics::make_result_columns(std::vector<ResultColumn>& columns) const {
    for (const Aggregation& aggregation : aggregations_) {
        const AggregationKind kind = aggregation.kind;
        const bool keeps_type = kind == AggregationKind::kSum || kind == AggregationKind::kMin ||
                                kind == AggregationKind::kMax || kind == AggregationKind::kRange;
        const bool is_result_integer = kind == AggregationKind::kCount || (keeps_type && is_integer());
        columns.push_back(
            {aggregation.result_name, is_result_integer ? ResultType::kInt64 : ResultType::kFloat64});
    }
}

void ValueStatistics::append_results(const std::byte* state, const Interval& window,
                                     std::span<ResultColumn> results) const {
    // 1. What may throw, before anything is appended.
    for (const Aggregation& aggregation : aggregations_) {
        if (aggregation.kind == AggregationKind::kSum || aggregation.kind == AggregationKind::kRange) {
            static_cast<void>(result(state, aggregation));
        }
    }
    // 2. All percentiles at once.
    constexpr std::size_t kFew = 16;
    std::array<double, kFew> few;
    std::vector<double> many(percents_.size() > kFew ? percents_.size() : 0);
    const std::span<double> percentiles =
        many.empty() ? std::span<double>(few).first(percents_.size()) : many;
    if (!percents_.empty() && count(state) != 0) {
        load_part<QuantileSketch>(state + layout_.sketch)
            .percentiles(percents_, extreme_as_double(state + layout_.min),
                         extreme_as_double(state + layout_.max), percentiles);
    }
    // 3. Append.
    std::size_t next_percentile = 0;
    for (std::size_t i = 0; i < aggregations_.size(); ++i) {
        ResultColumn& column = results[i];
        const AggregationKind kind = aggregations_[i].kind;
        if (kind == AggregationKind::kPercentile && count(state) != 0) {
            column.append(percentiles[next_percentile++]);
            continue;
        }
        append(result_in(state, aggregations_[i], window), column);
    }
}

void ValueStatistics::append_all_results(std::span<const std::byte* const> states, std::size_t offset,
                                         const Interval& window, std::span<ResultColumn> results) const {
    // The usual statistics of floats without a variant and a switch for each.
    const auto append_numbers = [&](ResultColumn& column, bool is_null_without_values, auto number_of) {
        for (const std::byte* const row : states) {
            const std::byte* const state = row + offset;
            if (is_null_without_values && count(state) == 0) {
                column.append_null();
            } else {
                column.append(number_of(state));
            }
        }
    };
    for (std::size_t i = 0; i < aggregations_.size(); ++i) {
        ResultColumn& column = results[i];
        const Aggregation& aggregation = aggregations_[i];
        const auto extreme_at = [](std::size_t part) {
            return [part](const std::byte* state) { return load_part<double>(state + part); };
        };
        switch (aggregation.kind) {
            case AggregationKind::kPercentile: continue;
            case AggregationKind::kCount:
                append_numbers(column, false, [&](const std::byte* state) {
                    return static_cast<std::int64_t>(count(state));
                });
                continue;
            case AggregationKind::kAverage:
                append_numbers(column, true, [&](const std::byte* state) { return average(state); });
                continue;
            case AggregationKind::kStddev:
                append_numbers(column, true, [&](const std::byte* state) {
                    return deviation(state, count(state), standard_deviation);
                });
                continue;
            case AggregationKind::kSum:
                if (is_integer()) {
                    break;
                }
                append_numbers(column, false, [&](const std::byte* state) {
                    return layout_.load_sum(state + layout_.sum).value();
                });
                continue;
            case AggregationKind::kMin:
            case AggregationKind::kMax:
                if (is_integer()) {
                    break;
                }
                append_numbers(
                    column, true,
                    extreme_at(aggregation.kind == AggregationKind::kMin ? layout_.min : layout_.max));
                continue;
            default: break;
        }
        for (const std::byte* const row : states) {
            append(result_in(row + offset, aggregation, window), column);
        }
    }
    if (!percents_.empty()) {
        append_percentiles(states, offset, results);
    }
}

void ValueStatistics::append_percentiles(std::span<const std::byte* const> states, std::size_t offset,
                                         std::span<ResultColumn> results) const {
    std::vector<ResultColumn*> columns;
    for (std::size_t i = 0; i < aggregations_.size(); ++i) {
        if (aggregations_[i].kind == AggregationKind::kPercentile) {
            columns.push_back(&results[i]);
        }
    }
    constexpr std::size_t kAhead = 8;
    std::vector<double> percentiles(percents_.size());
    for (std::size_t i = 0; i < states.size(); ++i) {
        if (i + kAhead < states.size()) {
            load_part<QuantileSketch>(states[i + kAhead] + offset + layout_.sketch).prefetch();
        }
        const std::byte* const state = states[i] + offset;
        if (count(state) == 0) {
            for (ResultColumn* const column : columns) {
                column->append_null();
            }
            continue;
        }
        load_part<QuantileSketch>(state + layout_.sketch)
            .percentiles(percents_, extreme_as_double(state + layout_.min),
                         extreme_as_double(state + layout_.max), percentiles);
        for (std::size_t p = 0; p < columns.size(); ++p) {
            columns[p]->append(percentiles[p]);
        }
    }
}

MetricValue ValueStatistics::result_in(const std::byte* state, const Aggregation& aggregation,
                                       const Interval& window) const {
    const AggregationKind kind = aggregation.kind;
    const bool is_rate = kind == AggregationKind::kRate || kind == AggregationKind::kSumRate;
    return is_rate ? rate(state, kind, window) : result(state, aggregation);
}

MetricValue ValueStatistics::result(const std::byte* state, const Aggregation& aggregation) const {
    if (!includes(parts_, aggregation.kind)) {
        throw Error(ErrorKind::kAggregation,
                    "'" + aggregation.result_name + "' was not asked for when aggregation began");
    }
    const std::uint64_t n = count(state);
    switch (aggregation.kind) {
        case AggregationKind::kCount: return static_cast<std::int64_t>(n);
        case AggregationKind::kSum: return sum(state, aggregation);
        case AggregationKind::kRate:
        case AggregationKind::kSumRate:
            throw Error(ErrorKind::kAggregation, "'" + aggregation.result_name + "': a rate needs a window");
        default: break;
    }
    if (n == 0) {
        return {};
    }
    switch (aggregation.kind) {
        case AggregationKind::kAverage: return average(state);
        case AggregationKind::kMin: return extreme(state + layout_.min);
        case AggregationKind::kMax: return extreme(state + layout_.max);
        case AggregationKind::kRange: return range(state, aggregation);
        case AggregationKind::kVariance: return deviation(state, n, variance);
        case AggregationKind::kVarianceSample:
            return n == 1 ? MetricValue{} : deviation(state, n - 1, variance);
        case AggregationKind::kStddev: return deviation(state, n, standard_deviation);
        case AggregationKind::kStddevSample:
            return n == 1 ? MetricValue{} : deviation(state, n - 1, standard_deviation);
        case AggregationKind::kPercentileError: return percentile_error(state);
        default: break;
    }
    return load_part<QuantileSketch>(state + layout_.sketch)
        .percentile(aggregation.percentile, extreme_as_double(state + layout_.min),
                    extreme_as_double(state + layout_.max));
}

MetricValue ValueStatistics::sum(const std::byte* state, const Aggregation& aggregation) const {
    if (!is_integer()) {
        return layout_.load_sum(state + layout_.sum).value();
    }
    return fitting(load_part<Int128>(state + layout_.sum), "sum", aggregation);
}

MetricValue ValueStatistics::range(const std::byte* state, const Aggregation& aggregation) const {
    if (!is_integer()) {
        return load_part<double>(state + layout_.max) - load_part<double>(state + layout_.min);
    }
    const auto max = load_part<std::int64_t>(state + layout_.max);
    return fitting(static_cast<Int128>(max) - load_part<std::int64_t>(state + layout_.min), "range",
                   aggregation);
}

MetricValue ValueStatistics::rate(const std::byte* state, AggregationKind kind,
                                  const Interval& window) const noexcept {
    if (window.start == kMinTimestamp || window.end == kMaxTimestamp) {
        return {};
    }
    const double seconds = static_cast<double>(window.end - window.start) / 1e6;
    return (kind == AggregationKind::kRate ? static_cast<double>(count(state)) : wide_sum(state).hi) /
           seconds;
}

DoubleDouble ValueStatistics::wide_sum(const std::byte* state) const noexcept {
    return is_integer() ? to_double_double(load_part<Int128>(state + layout_.sum))
                        : layout_.load_sum(state + layout_.sum).value_parts();
}

double ValueStatistics::average(const std::byte* state) const noexcept {
    const auto n = static_cast<double>(count(state));
    const DoubleDouble sum = wide_sum(state);
    // Dividing in full precision splits its operands, which the greatest doubles overflow.
    return std::fabs(sum.hi) < 0x1p990 ? (sum / n).hi : sum.hi / n;
}

double ValueStatistics::deviation(const std::byte* state, std::uint64_t divisor,
                                  Deviation statistic) const noexcept {
    double spread = 0;
    if (is_integer()) {
        const auto min = load_part<std::int64_t>(state + layout_.min);
        const auto max = load_part<std::int64_t>(state + layout_.max);
        spread = static_cast<double>(static_cast<std::uint64_t>(max) - static_cast<std::uint64_t>(min));
    } else {
        spread = load_part<double>(state + layout_.max) - load_part<double>(state + layout_.min);
    }
    return statistic(wide_sum(state), layout_.load_sum(state + layout_.squares).value_parts(), count(state),
                     divisor, spread);
}

MetricValue ValueStatistics::extreme(const std::byte* part) const noexcept {
    return is_integer() ? MetricValue(load_part<std::int64_t>(part)) : MetricValue(load_part<double>(part));
}

double ValueStatistics::extreme_as_double(const std::byte* part) const noexcept {
    return is_integer() ? static_cast<double>(load_part<std::int64_t>(part)) : load_part<double>(part);
}

double ValueStatistics::percentile_error(const std::byte* state) const noexcept {
    return parts_.sketch ? load_part<QuantileSketch>(state + layout_.sketch).error() : 0.0;
}

void ValueStatistics::encode(const std::byte* state, ByteWriter& out) const {
    out.write(count(state));
    if (count(state) == 0) {
        return;
    }
    if (parts_.sum && is_integer()) {
        out.write(load_part<std::uint64_t>(state + layout_.sum));
        out.write(load_part<std::uint64_t>(state + layout_.sum + 8));
    } else if (parts_.sum) {
        encode_sum(layout_.load_sum(state + layout_.sum), out);
    }
    if (parts_.squares) {
        encode_sum(layout_.load_sum(state + layout_.squares), out);
    }
    if (parts_.extremes) {
        // Doubles or integers: 8 bytes either way.
        out.write(load_part<std::uint64_t>(state + layout_.min));
        out.write(load_part<std::uint64_t>(state + layout_.max));
    }
    if (parts_.sketch) {
        load_part<QuantileSketch>(state + layout_.sketch).encode(out);
    }
}

void ValueStatistics::decode(std::byte* state, ByteReader& in, SizeClassPool& pool) const {
    const auto n = in.read<std::uint64_t>();
    if (n == 0) {
        return;
    }
    // Far beyond what anyone can have added; sums of integers rely on it.
    constexpr std::uint64_t kMostValues = std::uint64_t{1} << 62;
    if (n > kMostValues) {
        ByteReader::corrupt("the number of values of a metric");
    }
    // Into a copy, so that the state stays empty if anything is wrong.
    std::array<std::byte, ValueLayout(ValueParts{true, true, true, true}, FieldType::kFloat64).bytes> copy;
    create(copy.data());
    store_part(copy.data(), n);
    if (parts_.sum && is_integer()) {
        store_part(copy.data() + layout_.sum, in.read<std::uint64_t>());
        store_part(copy.data() + layout_.sum + 8, in.read<std::uint64_t>());
        const auto sum = load_part<Int128>(copy.data() + layout_.sum);
        const Int128 most = static_cast<Int128>(n) << 63;
        if (sum < -most || sum > most) {
            ByteReader::corrupt("the sum of a metric");
        }
    } else if (parts_.sum) {
        layout_.store_sum(copy.data() + layout_.sum, decode_sum(in));
    }
    if (parts_.squares) {
        layout_.store_sum(copy.data() + layout_.squares, decode_sum(in));
    }
    if (parts_.extremes) {
        store_part(copy.data() + layout_.min, in.read<std::uint64_t>());
        store_part(copy.data() + layout_.max, in.read<std::uint64_t>());
        const double min = extreme_as_double(copy.data() + layout_.min);
        const double max = extreme_as_double(copy.data() + layout_.max);
        if (!(min <= max) || !std::isfinite(min) || !std::isfinite(max)) {
            ByteReader::corrupt("the extremes of a metric");
        }
    }
    if (parts_.sketch) {
        auto sketch = QuantileSketch::decode(in, pool);
        if (sketch.count() != n) {
            sketch.destroy(pool);
            ByteReader::corrupt("the number of values of a metric");
        }
        store_part(copy.data() + layout_.sketch, sketch);
    }
    std::copy_n(copy.data(), layout_.bytes, state);
}

}  // namespace llmopt_stream
