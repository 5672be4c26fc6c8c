#include "aggregate/shape_statistics.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <utility>

#include "aggregate/compensated_sum.hpp"
#include "aggregate/int128.hpp"
#include "aggregate/state_part.hpp"
#include "aggregate/sum_codec.hpp"

namespace llmopt_stream {
namespace {

struct State {
    std::uint64_t count = 0;
    double min = std::numeric_limits<double>::infinity();
    double max = -std::numeric_limits<double>::infinity();
    /// Of the values, their squares, cubes and fourth powers.
    std::array<CompensatedSum, 4> powers{};
};

void add_value(State& state, DoubleDouble value) noexcept {
    ++state.count;
    state.min = std::min(state.min, value.hi);
    state.max = std::max(state.max, value.hi);
    DoubleDouble power = value;
    for (CompensatedSum& sum : state.powers) {
        // An infinite sum stays: inf - inf would say nothing.
        if (std::isfinite(sum.raw_parts().hi)) {
            sum.add(power);
        }
        power = power * value;
        if (!std::isfinite(power.hi)) {
            power = {std::numeric_limits<double>::infinity(), 0};
        }
    }
    if (state.count % CompensatedSum::kNormalizeEvery == 0) {
        for (CompensatedSum& sum : state.powers) {
            sum.normalize();
        }
    }
}

struct Shapes {
    double skewness;
    double kurtosis;
};

Shapes shapes_of(const State& state) noexcept {
    const auto n = static_cast<double>(state.count);
    const DoubleDouble count{n, 0};
    const DoubleDouble first = state.powers[0].value_parts();
    const DoubleDouble second = state.powers[1].value_parts();
    const DoubleDouble third = state.powers[2].value_parts();
    const DoubleDouble fourth = state.powers[3].value_parts();
    const DoubleDouble mean = first / n;
    const DoubleDouble mean_squared = mean * mean;
    const double spread = variance(first, second, state.count, state.count, state.max - state.min);
    const DoubleDouble cubes =
        third - DoubleDouble{3, 0} * mean * second + DoubleDouble{2, 0} * count * mean_squared * mean;
    const DoubleDouble fourths = fourth - DoubleDouble{4, 0} * mean * third +
                                 DoubleDouble{6, 0} * mean_squared * second -
                                 DoubleDouble{3, 0} * count * mean_squared * mean_squared;
    // What any n values keep (Wilkins 1944; Pearson 1916), whatever was lost to cancellation.
    const double most_skewed = n < 2 ? 0 : (n - 2) / std::sqrt(n - 1);
    const double skewness =
        std::clamp(cubes.hi / n / (spread * std::sqrt(spread)), -most_skewed, most_skewed);
    const double least = skewness * skewness + 1;
    const double most = n < 2 ? least : std::max(least, (n * n - 3 * n + 3) / (n - 1));
    return {skewness, std::clamp(fourths.hi / n / (spread * spread), least, most) - 3};
}

}  // namespace

std::size_t ShapeStatistics::state_bytes() const noexcept { return sizeof(State); }

void ShapeStatistics::create(std::byte* state) const noexcept { store_part(state, State{}); }

std::uint64_t ShapeStatistics::add(std::span<std::byte* const> rows, std::size_t offset,
                                   const RecordBatch& batch, std::size_t first, SizeClassPool&) const {
    const ValueColumn& column = batch.values[column_];
    std::uint64_t skipped = 0;
    for (std::size_t i = 0; i < rows.size(); ++i) {
        const std::size_t record = first + i;
        DoubleDouble value;
        if (type_ == FieldType::kInt64) {
            if (!column.present.empty() && column.present[record] == 0) {
                ++skipped;
                continue;
            }
            value = to_double_double(Int128{column.int64[record]});
        } else {
            value.hi = column.float64[record] + 0.0;
            if (!std::isfinite(value.hi)) {
                ++skipped;
                continue;
            }
        }
        std::byte* const at = rows[i] + offset;
        auto state = load_part<State>(at);
        add_value(state, value);
        store_part(at, state);
    }
    return skipped;
}

void ShapeStatistics::merge(std::byte* into, const std::byte* from, SizeClassPool&) const {
    auto state = load_part<State>(into);
    const auto other = load_part<State>(from);
    state.count += other.count;
    state.min = std::min(state.min, other.min);
    state.max = std::max(state.max, other.max);
    for (std::size_t power = 0; power < state.powers.size(); ++power) {
        state.powers[power].merge(other.powers[power]);
    }
    store_part(into, state);
}

void ShapeStatistics::make_result_columns(std::vector<ResultColumn>& columns) const {
    for (const Result& result : results_) {
        columns.push_back({result.name, ResultType::kFloat64});
    }
}

void ShapeStatistics::append_results(const std::byte* at, const Interval&,
                                     std::span<ResultColumn> results) const {
    const auto state = load_part<State>(at);
    Shapes shapes{};
    const bool has_shape = state.count > 0 && state.min < state.max;
    if (has_shape) {
        shapes = shapes_of(state);
    }
    for (std::size_t i = 0; i < results_.size(); ++i) {
        const double value = results_[i].shape == Shape::kSkewness ? shapes.skewness : shapes.kurtosis;
        if (has_shape && std::isfinite(value)) {
            results[i].append(value);
        } else {
            results[i].append_null();
        }
    }
}

void ShapeStatistics::encode(const std::byte* at, ByteWriter& out) const {
    const auto state = load_part<State>(at);
    out.write(state.count);
    if (state.count == 0) {
        return;
    }
    out.write(state.min);
    out.write(state.max);
    for (const CompensatedSum& sum : state.powers) {
        encode_sum(sum, out);
    }
}

void ShapeStatistics::decode(std::byte* at, ByteReader& in, SizeClassPool&) const {
    State state;
    state.count = in.read<std::uint64_t>();
    if (state.count == 0) {
        return;
    }
    state.min = in.read<double>();
    state.max = in.read<double>();
    if (!(state.min <= state.max) || !std::isfinite(state.min) || !std::isfinite(state.max)) {
        ByteReader::corrupt("the extremes of a metric");
    }
    for (CompensatedSum& sum : state.powers) {
        sum = decode_sum(in);
    }
    store_part(at, state);
}

}  // namespace llmopt_stream
