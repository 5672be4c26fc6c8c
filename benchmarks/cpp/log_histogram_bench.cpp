#include "aggregate/log_histogram.hpp"

#include <benchmark/benchmark.h>

#include <array>
#include <vector>

#include "samples.hpp"

namespace llmopt_stream::bench {
namespace {

constexpr std::size_t kValues = 4096;

/// Values to buckets, a column at a time; per value.
void histogram_buckets(benchmark::State& state) {
    const std::vector<double> values = latencies(kValues);
    std::vector<LogHistogram::Bucket> buckets(kValues);
    for (auto _ : state) {
        LogHistogram::buckets_of(values.data(), values.size(), buckets.data());
        benchmark::DoNotOptimize(buckets.data());
        benchmark::ClobberMemory();
    }
    state.SetItemsProcessed(state.iterations() * static_cast<std::int64_t>(kValues));
}
BENCHMARK(histogram_buckets);

/// Into a histogram that has the buckets; per value.
void histogram_add(benchmark::State& state) {
    const std::vector<double> values = latencies(kValues);
    std::vector<LogHistogram::Bucket> buckets(kValues);
    LogHistogram::buckets_of(values.data(), values.size(), buckets.data());
    SizeClassPool pool;
    LogHistogram histogram;
    histogram.add(buckets, pool);
    for (auto _ : state) {
        histogram.add(buckets, pool);
        benchmark::ClobberMemory();
    }
    state.SetItemsProcessed(state.iterations() * static_cast<std::int64_t>(kValues));
}
BENCHMARK(histogram_add);

/// Three ranks; per three.
void histogram_values(benchmark::State& state) {
    const std::vector<double> values = latencies(kValues);
    std::vector<LogHistogram::Bucket> buckets(kValues);
    LogHistogram::buckets_of(values.data(), values.size(), buckets.data());
    SizeClassPool pool;
    LogHistogram histogram;
    histogram.add(buckets, pool);
    const std::array<std::uint64_t, 3> ranks = {2048, 3892, 4056};
    std::array<double, 3> results{};
    for (auto _ : state) {
        histogram.values(ranks, results);
        benchmark::DoNotOptimize(results);
    }
    state.SetItemsProcessed(state.iterations());
}
BENCHMARK(histogram_values);

}  // namespace
}  // namespace llmopt_stream::bench
