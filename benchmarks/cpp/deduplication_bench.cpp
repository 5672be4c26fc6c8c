#include "operator/deduplication.hpp"

#include <benchmark/benchmark.h>

#include <array>
#include <string>
#include <string_view>
#include <vector>

namespace llmopt_stream::bench {
namespace {

constexpr std::size_t kBatch = 16'384;

/// 16 bytes that differ from those of every other number, as binary UUIDs do.
std::array<char, 16> id_of(std::uint64_t number) {
    static constexpr char kDigits[] = "0123456789abcdef";
    std::uint64_t bits = (number + 1) * 0x9E3779B97F4A7C15U;
    bits ^= bits >> 32;
    std::array<char, 16> id;
    for (char& digit : id) {
        digit = kDigits[bits % 16];
        bits /= 16;
    }
    return id;
}

/// One record per microsecond, the watermark at the record before: `live` ids are live with a ttl
/// of as many microseconds. One record in `repeats` has the id of one half a ttl before it.
class Ids {
public:
    Ids(std::size_t live, std::size_t repeats) : live_(live), repeats_(repeats) {}

    void next_batch() {
        ids_.clear();
        times_.clear();
        watermarks_.clear();
        for (std::size_t i = 0; i < kBatch; ++i, ++number_) {
            const bool repeated = repeats_ != 0 && number_ % repeats_ == 0 && number_ > live_;
            ids_.push_back(id_of(repeated ? number_ - live_ / 2 - 1 : number_));
            times_.push_back(static_cast<Timestamp>(number_));
            watermarks_.push_back(static_cast<Timestamp>(number_) - 1);
        }
    }
    void intern() {
        values_.clear();
        codes_.clear();
        for (const std::array<char, 16>& id : ids_) {
            codes_.push_back(values_.intern({id.data(), id.size()}));
        }
    }
    void deduplicate(Deduplication& state) {
        accepted_.clear();
        state.on_batch(codes_, values_, times_, watermarks_, accepted_);
        benchmark::DoNotOptimize(accepted_.data());
    }
    [[nodiscard]] std::size_t accepted() const { return accepted_.size(); }

private:
    std::size_t live_;
    std::size_t repeats_;
    std::uint64_t number_ = 0;
    KeyDictionary values_;
    std::vector<std::array<char, 16>> ids_;
    std::vector<std::uint32_t> codes_;
    std::vector<Timestamp> times_;
    std::vector<Timestamp> watermarks_;
    std::vector<std::uint32_t> accepted_;
};

void deduplicate(benchmark::State& state, bool intern, std::optional<double> rate, std::size_t repeats) {
    const auto live = static_cast<std::size_t>(state.range(0));
    Ids ids(live, repeats);
    Deduplication deduplication({.ttl = static_cast<Duration>(live), .false_positive_rate = rate});
    for (std::size_t seen = 0; seen < 3 * live; seen += kBatch) {
        ids.next_batch();
        ids.intern();
        ids.deduplicate(deduplication);
    }
    const std::size_t expected = kBatch - (repeats == 0 ? 0 : kBatch / repeats);
    for (auto _ : state) {
        state.PauseTiming();
        ids.next_batch();
        if (!intern) {
            ids.intern();
        }
        state.ResumeTiming();
        if (intern) {
            ids.intern();
        }
        ids.deduplicate(deduplication);
        if (!rate && (ids.accepted() > expected + 1 || ids.accepted() + 1 < expected)) {
            state.SkipWithError("another number of records was accepted");
            break;
        }
    }
    state.SetItemsProcessed(state.iterations() * static_cast<std::int64_t>(kBatch));
    state.counters["state_bytes_per_id"] =
        static_cast<double>(deduplication.state_bytes()) / static_cast<double>(live);
}

/// Distinct ids of 16 bytes, `Arg` of them live; per record.
void deduplicate_new_ids(benchmark::State& state) { deduplicate(state, false, {}, 0); }
void deduplicate_new_ids_and_intern(benchmark::State& state) { deduplicate(state, true, {}, 0); }
/// Every second record is a duplicate.
void deduplicate_repeated_ids(benchmark::State& state) { deduplicate(state, false, {}, 2); }
void deduplicate_new_ids_with_filters(benchmark::State& state) { deduplicate(state, false, 0.01, 0); }
BENCHMARK(deduplicate_new_ids)->Arg(1'000)->Arg(1'000'000)->Arg(4'000'000);
BENCHMARK(deduplicate_new_ids_and_intern)->Arg(1'000'000);
BENCHMARK(deduplicate_repeated_ids)->Arg(1'000'000);
BENCHMARK(deduplicate_new_ids_with_filters)->Arg(1'000)->Arg(1'000'000)->Arg(4'000'000);

}  // namespace
}  // namespace llmopt_stream::bench
