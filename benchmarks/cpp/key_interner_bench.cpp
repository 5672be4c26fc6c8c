#include "window/key_interner.hpp"

#include <benchmark/benchmark.h>

#include <string>
#include <vector>

#include "record/key.hpp"
#include "samples.hpp"

namespace llmopt_stream::bench {
namespace {

constexpr std::size_t kRecords = 16384;

/// Keys that are live, hashed and looked up; per key.
void intern_live_key(benchmark::State& state) {
    SizeClassPool pool;
    KeyInterner keys(pool);
    const std::vector<std::string> names = tenants(static_cast<std::size_t>(state.range(0)));
    for (const std::string& name : names) {
        keys.hold(keys.intern(name, hash_key(name)));
    }
    const std::vector<std::uint32_t> chosen = choices(kRecords, static_cast<std::uint32_t>(names.size()));
    for (auto _ : state) {
        for (const std::uint32_t key : chosen) {
            benchmark::DoNotOptimize(keys.intern(names[key], hash_key(names[key])));
        }
    }
    state.SetItemsProcessed(state.iterations() * static_cast<std::int64_t>(kRecords));
}
BENCHMARK(intern_live_key)->Arg(50)->Arg(1'000)->Arg(100'000);

/// New keys, held and released; per key.
void intern_new_key(benchmark::State& state) {
    SizeClassPool pool;
    KeyInterner keys(pool);
    const std::vector<std::string> names = tenants(static_cast<std::size_t>(state.range(0)));
    std::vector<KeyInterner::Code> codes(names.size());
    for (auto _ : state) {
        for (std::size_t i = 0; i < names.size(); ++i) {
            codes[i] = keys.intern(names[i], hash_key(names[i]));
            keys.hold(codes[i]);
        }
        for (const KeyInterner::Code code : codes) {
            keys.release(code);
        }
    }
    state.SetItemsProcessed(state.iterations() * state.range(0));
}
BENCHMARK(intern_new_key)->Arg(1'000)->Arg(100'000);

}  // namespace
}  // namespace llmopt_stream::bench
