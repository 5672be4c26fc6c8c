#include "aggregate/quantile_sketch.hpp"

#include <benchmark/benchmark.h>

#include <algorithm>
#include <array>
#include <vector>

#include "samples.hpp"

namespace llmopt_stream::bench {
namespace {

QuantileSketch sketch_of(const std::vector<double>& values, SizeClassPool& pool) {
    QuantileSketch sketch;
    for (const double value : values) {
        sketch.add(value, pool);
    }
    return sketch;
}

/// A sketch of so many values from the first to the last, growth included; per value.
void sketch_add(benchmark::State& state) {
    const std::vector<double> values = latencies(static_cast<std::size_t>(state.range(0)));
    SizeClassPool pool;
    for (auto _ : state) {
        QuantileSketch sketch = sketch_of(values, pool);
        benchmark::DoNotOptimize(sketch);
        sketch.destroy(pool);
    }
    state.SetItemsProcessed(state.iterations() * state.range(0));
}
BENCHMARK(sketch_add)->Arg(30)->Arg(64)->Arg(1'000)->Arg(100'000);

/// One sketch of so many values into an empty one, then into another of the same; per merge.
void sketch_merge(benchmark::State& state) {
    const std::vector<double> values = latencies(static_cast<std::size_t>(state.range(0)));
    SizeClassPool pool;
    const QuantileSketch part = sketch_of(values, pool);
    for (auto _ : state) {
        QuantileSketch whole;
        whole.merge(part, pool);
        whole.merge(part, pool);
        benchmark::DoNotOptimize(whole);
        whole.destroy(pool);
    }
    state.SetItemsProcessed(state.iterations() * 2);
}
BENCHMARK(sketch_merge)->Arg(3)->Arg(30)->Arg(1'000)->Arg(100'000);

/// p50, p95 and p99; per three.
void sketch_percentiles(benchmark::State& state) {
    const std::vector<double> values = latencies(static_cast<std::size_t>(state.range(0)));
    SizeClassPool pool;
    const QuantileSketch sketch = sketch_of(values, pool);
    const auto [min, max] = std::ranges::minmax(values);
    const std::array<double, 3> percents = {50, 95, 99};
    std::array<double, 3> results{};
    for (auto _ : state) {
        sketch.percentiles(percents, min, max, results);
        benchmark::DoNotOptimize(results);
    }
    state.SetItemsProcessed(state.iterations());
}
BENCHMARK(sketch_percentiles)->Arg(8)->Arg(32)->Arg(64)->Arg(1'000)->Arg(100'000);

}  // namespace
}  // namespace llmopt_stream::bench
