#include "window/slice.hpp"

#include <benchmark/benchmark.h>

#include <memory>
#include <string>
#include <vector>

#include "aggregate/value_statistics.hpp"
#include "record/key.hpp"
#include "samples.hpp"

namespace llmopt_stream::bench {
namespace {

constexpr std::size_t kRecords = 16384;
constexpr Interval kMinute{0, 60'000'000};

MetricRow make_row() {
    return MetricRow({std::make_shared<ValueStatistics>(0, FieldType::kFloat64, nine_statistics())});
}

/// The codes of so many keys, which somebody holds.
std::vector<KeyInterner::Code> held_codes(SliceContext& context, std::size_t keys) {
    std::vector<KeyInterner::Code> codes;
    for (const std::string& name : tenants(keys)) {
        codes.push_back(context.keys.intern(name, hash_key(name)));
        context.keys.hold(codes.back());
    }
    return codes;
}

/// The rows of keys that are there; per record.
void slice_find(benchmark::State& state) {
    SliceContext context(make_row());
    const auto keys = static_cast<std::uint32_t>(state.range(0));
    const std::vector<KeyInterner::Code> codes = held_codes(context, keys);
    Slice slice(context, kMinute);
    for (const KeyInterner::Code code : codes) {
        static_cast<void>(slice.find_or_create(code));
    }
    const std::vector<std::uint32_t> chosen = choices(kRecords, keys);
    for (auto _ : state) {
        for (const std::uint32_t key : chosen) {
            benchmark::DoNotOptimize(slice.find_or_create(codes[key]));
        }
    }
    state.SetItemsProcessed(state.iterations() * static_cast<std::int64_t>(kRecords));
}
BENCHMARK(slice_find)->Arg(50)->Arg(1'000)->Arg(100'000);

/// A slice of so many new rows, made and cleared; per row.
void slice_create(benchmark::State& state) {
    SliceContext context(make_row());
    const std::vector<KeyInterner::Code> codes =
        held_codes(context, static_cast<std::size_t>(state.range(0)));
    Slice slice(context, kMinute);
    for (auto _ : state) {
        for (const KeyInterner::Code code : codes) {
            benchmark::DoNotOptimize(slice.find_or_create(code));
        }
        slice.clear();
    }
    state.SetItemsProcessed(state.iterations() * state.range(0));
}
BENCHMARK(slice_create)->Arg(1)->Arg(50)->Arg(10'000);

}  // namespace
}  // namespace llmopt_stream::bench
