#include "aggregate/shape_statistics.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <utility>

#include "aggregate/compensated_sum.hpp"
#include "aggregate/state_part.hpp"
#include "aggregate/sum_codec.hpp"
#include "record/int128.hpp"

namespace llmopt_stream {
namespace {

struct State {
    std::uint64_t count = 0;
    /// The first value taken. No value lies further from the mean than sqrt(count) standard deviations, so
    /// little cancels in sums of powers around one.
    DoubleDouble origin{};
    /// Of the deviations from the origin, to a double; 0 is between them.
    double min = 0;
    double max = 0;
    /// Of the deviations, their squares, cubes and fourth powers.
    std::array<CompensatedSum, 4> powers{};
};

/// inf - inf would say nothing.
DoubleDouble finite_or_infinite(DoubleDouble value) noexcept {
    return std::isfinite(value.hi) ? value : DoubleDouble{std::numeric_limits<double>::infinity(), 0};
}

void add_value(State& state, DoubleDouble value) noexcept {
    if (++state.count == 1) {
        state.origin = value;
        return;
    }
    const DoubleDouble deviation = value - state.origin;
    state.min = std::min(state.min, deviation.hi);
    state.max = std::max(state.max, deviation.hi);
    DoubleDouble power = finite_or_infinite(deviation);
    for (CompensatedSum& sum : state.powers) {
        // An infinite sum stays.
        if (std::isfinite(sum.raw_parts().hi)) {
            sum.add(power);
        }
        power = finite_or_infinite(power * deviation);
    }
    if (state.count % CompensatedSum::kNormalizeEvery == 0) {
        for (CompensatedSum& sum : state.powers) {
            sum.normalize();
        }
    }
}

/// The same values seen from another origin, by the binomial theorem.
void move_to(State& state, DoubleDouble origin) noexcept {
    const DoubleDouble shift = state.origin - origin;
    const DoubleDouble first = state.powers[0].value_parts();
    const DoubleDouble second = state.powers[1].value_parts();
    const DoubleDouble third = state.powers[2].value_parts();
    const DoubleDouble fourth = state.powers[3].value_parts();
    const DoubleDouble count{static_cast<double>(state.count), 0};
    const DoubleDouble squared = shift * shift;
    const std::array<DoubleDouble, 4> moved{
        first + count * shift, second + DoubleDouble{2, 0} * shift * first + count * squared,
        third + DoubleDouble{3, 0} * (shift * second + squared * first) + count * squared * shift,
        fourth + DoubleDouble{4, 0} * (shift * third + squared * shift * first) +
            DoubleDouble{6, 0} * squared * second + count * squared * squared};
    for (std::size_t power = 0; power < moved.size(); ++power) {
        state.powers[power] = CompensatedSum(finite_or_infinite(moved[power]));
    }
    state.origin = origin;
    state.min += shift.hi;
    state.max += shift.hi;
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
    const double kurtosis = std::clamp(fourths.hi / n / (spread * spread), least, most) - 3;
    // Powers that underflow say nothing.
    constexpr double kLeast = std::numeric_limits<double>::min();
    constexpr double kNone = std::numeric_limits<double>::quiet_NaN();
    return {spread * std::sqrt(spread) < kLeast ? kNone : skewness,
            spread * spread < kLeast ? kNone : kurtosis};
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
    auto other = load_part<State>(from);
    if (other.count == 0) {
        return;
    }
    auto state = load_part<State>(into);
    if (state.count == 0) {
        store_part(into, other);
        return;
    }
    move_to(other, state.origin);
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
    out.write(state.origin.hi);
    out.write(state.origin.lo);
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
    state.origin.hi = in.read<double>();
    state.origin.lo = in.read<double>();
    state.min = in.read<double>();
    state.max = in.read<double>();
    if (!std::isfinite(state.origin.hi) || !std::isfinite(state.origin.lo)) {
        ByteReader::corrupt("a value that is not finite");
    }
    if (!(state.min <= 0) || !(state.max >= 0)) {
        ByteReader::corrupt("the extremes of a metric");
    }
    for (CompensatedSum& sum : state.powers) {
        sum = decode_sum(in);
    }
    store_part(at, state);
}

}  // namespace llmopt_stream
