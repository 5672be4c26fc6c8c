#include "aggregate/exact_percentiles.hpp"

#include <algorithm>
#include <cmath>

#include "aggregate/pool_array.hpp"
#include "aggregate/quantile_sketch.hpp"
#include "aggregate/state_part.hpp"

namespace llmopt_stream {
namespace {

using Values = PoolArray<double>;  // in arrival order

}  // namespace

std::size_t ExactPercentiles::state_bytes() const noexcept { return sizeof(Values); }

void ExactPercentiles::create(std::byte* state) const noexcept { store_part(state, Values{}); }

void ExactPercentiles::destroy(std::byte* state, SizeClassPool& pool) const noexcept {
    load_part<Values>(state).destroy(pool);
    create(state);
}

void ExactPercentiles::add_value(std::byte* state, double value, SizeClassPool& pool) const {
    auto values = load_part<Values>(state);
    values.push_back(value, pool);
    store_part(state, values);
}

void ExactPercentiles::merge(std::byte* into, const std::byte* from, SizeClassPool& pool) const {
    auto values = load_part<Values>(into);
    values.append(load_part<Values>(from).values(), pool);
    store_part(into, values);
}

std::uint64_t ExactPercentiles::count(const std::byte* state) const noexcept {
    return load_part<Values>(state).size();
}

std::vector<double> ExactPercentiles::percentiles(const std::byte* state,
                                                  std::span<const double> percents) const {
    const auto values = load_part<Values>(state);
    std::vector<double> ordered(values.begin(), values.end());
    std::vector<double> results;
    for (const double percent : percents) {
        const auto at =
            ordered.begin() + static_cast<std::ptrdiff_t>(nearest_rank(percent, ordered.size()) - 1);
        std::nth_element(ordered.begin(), at, ordered.end());
        results.push_back(*at);
    }
    return results;
}

void ExactPercentiles::encode(const std::byte* state, ByteWriter& out) const {
    const auto values = load_part<Values>(state);
    out.write<std::uint64_t>(values.size());
    for (const double value : values) {
        out.write(value);
    }
}

void ExactPercentiles::decode(std::byte* state, ByteReader& in, SizeClassPool& pool) const {
    Values values;
    const std::uint64_t size = in.read_count(sizeof(double));
    try {
        values.reserve(size, pool);
        for (std::uint64_t at = 0; at < size; ++at) {
            const auto value = in.read<double>();
            if (!std::isfinite(value)) {
                ByteReader::corrupt("a value of percentiles");
            }
            values.push_back(value, pool);
        }
    } catch (...) {
        values.destroy(pool);
        throw;
    }
    store_part(state, values);
}

}  // namespace llmopt_stream
