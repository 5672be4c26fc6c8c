#include "aggregate/value_statistics.hpp"

#include <benchmark/benchmark.h>

#include <vector>

#include "record/record_batch.hpp"
#include "samples.hpp"

namespace llmopt_stream::bench {
namespace {

constexpr std::size_t kRecords = 16384;

/// The nine statistics of so many keys, whose records take turns at random, in full states; per value.
void add_nine_statistics(benchmark::State& state) {
    const ValueStatistics metric(0, FieldType::kFloat64, nine_statistics());
    const auto keys = static_cast<std::uint32_t>(state.range(0));
    const std::vector<double> values = latencies(kRecords);
    ValueColumn column;
    column.float64 = values;
    RecordBatch batch;
    batch.size = kRecords;
    batch.values = {column};

    SizeClassPool pool;
    std::vector<std::uint64_t> states(keys * metric.state_bytes() / 8);
    const auto state_of = [&](std::uint32_t key) {
        return reinterpret_cast<std::byte*>(states.data()) + key * metric.state_bytes();
    };
    for (std::uint32_t key = 0; key < keys; ++key) {
        metric.create(state_of(key));
    }
    std::vector<std::byte*> rows;
    for (const std::uint32_t key : choices(kRecords, keys)) {
        rows.push_back(state_of(key));
    }
    for (auto _ : state) {
        benchmark::DoNotOptimize(metric.add(rows, 0, batch, 0, pool));
        benchmark::ClobberMemory();
    }
    state.SetItemsProcessed(state.iterations() * static_cast<std::int64_t>(kRecords));
}
BENCHMARK(add_nine_statistics)->Arg(1)->Arg(50)->Arg(1'000)->Arg(10'000);

/// The nine results of a state of so many values; per state.
void append_nine_results(benchmark::State& state) {
    const ValueStatistics metric(0, FieldType::kFloat64, nine_statistics());
    SizeClassPool pool;
    std::vector<std::uint64_t> words(metric.state_bytes() / 8);
    auto* const bytes = reinterpret_cast<std::byte*>(words.data());
    metric.create(bytes);
    for (const double value : latencies(static_cast<std::size_t>(state.range(0)))) {
        metric.add_one(bytes, value, pool);
    }
    constexpr std::int64_t kStatesToColumn = 1024;
    constexpr Interval kMinute{0, 60'000'000};
    std::vector<ResultColumn> columns;
    for (auto _ : state) {
        columns.clear();
        metric.make_result_columns(columns);
        for (std::int64_t i = 0; i < kStatesToColumn; ++i) {
            metric.append_results(bytes, kMinute, columns);
        }
        benchmark::ClobberMemory();
    }
    state.SetItemsProcessed(state.iterations() * kStatesToColumn);
}
BENCHMARK(append_nine_results)->Arg(2)->Arg(30)->Arg(1'000);

}  // namespace
}  // namespace llmopt_stream::bench
