#include "aggregate/kll_percentiles.hpp"

#include <utility>

#include "aggregate/kll_sketch.hpp"
#include "aggregate/state_part.hpp"
#include "record/error.hpp"

namespace llmopt_stream {

KllPercentiles::KllPercentiles(std::size_t column, std::vector<Result> results, std::uint32_t k)
    : PercentileMetric(column, std::move(results)), k_(k) {
    if (k < KllSketch::kLeastK || k > KllSketch::kGreatestK) {
        throw Error(ErrorKind::kConfiguration,
                    "percentiles: k must lie in [8, 65535], got " + std::to_string(k));
    }
}

std::size_t KllPercentiles::state_bytes() const noexcept { return sizeof(KllSketch); }

void KllPercentiles::create(std::byte* state) const noexcept { store_part(state, KllSketch{}); }

void KllPercentiles::destroy(std::byte* state, SizeClassPool& pool) const noexcept {
    load_part<KllSketch>(state).destroy(pool);
    create(state);
}

void KllPercentiles::add_value(std::byte* state, double value, SizeClassPool& pool) const {
    auto sketch = load_part<KllSketch>(state);
    sketch.add(value, k_, pool);
    store_part(state, sketch);
}

void KllPercentiles::merge(std::byte* into, const std::byte* from, SizeClassPool& pool) const {
    auto sketch = load_part<KllSketch>(into);
    sketch.merge(load_part<KllSketch>(from), k_, pool);
    store_part(into, sketch);
}

std::uint64_t KllPercentiles::count(const std::byte* state) const noexcept {
    return load_part<KllSketch>(state).count();
}

std::vector<double> KllPercentiles::percentiles(const std::byte* state,
                                                std::span<const double> percents) const {
    return load_part<KllSketch>(state).percentiles(percents);
}

void KllPercentiles::encode(const std::byte* state, ByteWriter& out) const {
    load_part<KllSketch>(state).encode(out);
}

void KllPercentiles::decode(std::byte* state, ByteReader& in, SizeClassPool& pool) const {
    store_part(state, KllSketch::decode(in, k_, pool));
}

}  // namespace llmopt_stream
