#include "aggregate/endpoint_statistics.hpp"

#include <bit>
#include <cmath>
#include <utility>

#include "aggregate/state_part.hpp"

namespace llmopt_stream {
namespace {

/// The bits of a double or an integer, as the column has them.
struct Point {
    Timestamp time = 0;
    std::uint64_t value = 0;
};
struct State {
    std::uint64_t has_values = 0;
    Point first;
    Point last;
};

bool is_less(FieldType type, std::uint64_t a, std::uint64_t b) noexcept {
    return type == FieldType::kInt64 ? static_cast<std::int64_t>(a) < static_cast<std::int64_t>(b)
                                     : std::bit_cast<double>(a) < std::bit_cast<double>(b);
}

bool is_before(FieldType type, const Point& a, const Point& b) noexcept {
    return a.time != b.time ? a.time < b.time : is_less(type, a.value, b.value);
}

void include(State& state, const Point& first, const Point& last, FieldType type) noexcept {
    if (state.has_values == 0 || is_before(type, first, state.first)) {
        state.first = first;
    }
    if (state.has_values == 0 || is_before(type, state.last, last)) {
        state.last = last;
    }
    state.has_values = 1;
}

}  // namespace

std::size_t EndpointStatistics::state_bytes() const noexcept { return sizeof(State); }

void EndpointStatistics::create(std::byte* state) const noexcept { store_part(state, State{}); }

std::uint64_t EndpointStatistics::add(std::span<std::byte* const> rows, std::size_t offset,
                                      const RecordBatch& batch, std::size_t first, SizeClassPool&) const {
    const ValueColumn& column = batch.values[column_];
    std::uint64_t skipped = 0;
    for (std::size_t i = 0; i < rows.size(); ++i) {
        const std::size_t record = first + i;
        Point point{batch.time_of(record), 0};
        if (type_ == FieldType::kInt64) {
            if (!column.present.empty() && column.present[record] == 0) {
                ++skipped;
                continue;
            }
            point.value = static_cast<std::uint64_t>(column.int64[record]);
        } else {
            const double value = column.float64[record];
            if (!std::isfinite(value)) {
                ++skipped;
                continue;
            }
            point.value = std::bit_cast<std::uint64_t>(value + 0.0);  // -0.0 becomes 0.0
        }
        std::byte* const at = rows[i] + offset;
        auto state = load_part<State>(at);
        include(state, point, point, type_);
        store_part(at, state);
    }
    return skipped;
}

void EndpointStatistics::merge(std::byte* into, const std::byte* from, SizeClassPool&) const {
    const auto other = load_part<State>(from);
    if (other.has_values != 0) {
        auto state = load_part<State>(into);
        include(state, other.first, other.last, type_);
        store_part(into, state);
    }
}

void EndpointStatistics::make_result_columns(std::vector<ResultColumn>& columns) const {
    for (const Result& result : results_) {
        columns.push_back(
            {result.name, type_ == FieldType::kInt64 ? ResultType::kInt64 : ResultType::kFloat64});
    }
}

void EndpointStatistics::append_results(const std::byte* at, const Interval&,
                                        std::span<ResultColumn> results) const {
    const auto state = load_part<State>(at);
    for (std::size_t i = 0; i < results_.size(); ++i) {
        const Point& point = results_[i].end == End::kFirst ? state.first : state.last;
        if (state.has_values == 0) {
            results[i].append_null();
        } else if (type_ == FieldType::kInt64) {
            results[i].append(static_cast<std::int64_t>(point.value));
        } else {
            results[i].append(std::bit_cast<double>(point.value));
        }
    }
}

void EndpointStatistics::encode(const std::byte* at, ByteWriter& out) const {
    const auto state = load_part<State>(at);
    out.write<std::uint8_t>(state.has_values != 0 ? 1 : 0);
    if (state.has_values != 0) {
        for (const Point& point : {state.first, state.last}) {
            out.write(point.time);
            out.write(point.value);
        }
    }
}

void EndpointStatistics::decode(std::byte* at, ByteReader& in, SizeClassPool&) const {
    State state;
    state.has_values = in.read<std::uint8_t>();
    if (state.has_values == 0) {
        return;
    }
    for (Point* const point : {&state.first, &state.last}) {
        point->time = in.read<Timestamp>();
        point->value = in.read<std::uint64_t>();
        if (type_ == FieldType::kFloat64 && !std::isfinite(std::bit_cast<double>(point->value))) {
            ByteReader::corrupt("a first or last value");
        }
    }
    if (state.has_values != 1 || is_before(type_, state.last, state.first)) {
        ByteReader::corrupt("first and last value");
    }
    store_part(at, state);
}

}  // namespace llmopt_stream
