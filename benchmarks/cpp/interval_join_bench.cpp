#include "operator/interval_join.hpp"

#include <benchmark/benchmark.h>

#include <algorithm>
#include <random>
#include <string>
#include <vector>

#include "record/key.hpp"
#include "samples.hpp"

namespace llmopt_stream::bench {
namespace {

constexpr std::size_t kBatch = 4096;

/// One row a microsecond, batches of the two sides in turns, uniform keys, times up to `disorder` out of
/// order, which the watermark allows for.
class Stream {
public:
    Stream(std::size_t keys, Duration disorder) : disorder_(disorder) {
        for (const std::string& name : tenants(keys)) {
            encoded_.emplace_back();
            key_encoding::append_text(encoded_.back(), name);
        }
    }

    /// Makes the next batch; says of which side it is.
    JoinSide next() {
        batch_keys_.clear();
        for (std::size_t i = 0; i < kBatch; ++i) {
            const auto number = static_cast<Timestamp>(position_ + i);
            id_[i] = position_ + i;
            time_[i] = number - static_cast<Duration>(random_() % static_cast<std::uint64_t>(disorder_));
            watermark_before_[i] = greatest_ - disorder_;
            greatest_ = std::max(greatest_, time_[i]);
            key_[i] = batch_keys_.intern(encoded_[random_() % encoded_.size()]);
        }
        batch_ = {id_, time_, key_, &batch_keys_, {}, watermark_before_, position_, {}};
        position_ += kBatch;
        return (position_ / kBatch) % 2 == 0 ? JoinSide::kLeft : JoinSide::kRight;
    }
    [[nodiscard]] const JoinBatch& batch() const { return batch_; }

private:
    Duration disorder_;
    std::mt19937_64 random_{3};
    std::vector<std::string> encoded_;
    std::uint64_t position_ = 0;
    Timestamp greatest_ = 0;
    KeyDictionary batch_keys_;
    std::vector<std::uint64_t> id_ = std::vector<std::uint64_t>(kBatch);
    std::vector<Timestamp> time_ = std::vector<Timestamp>(kBatch);
    std::vector<Timestamp> watermark_before_ = std::vector<Timestamp>(kBatch);
    std::vector<std::uint32_t> key_ = std::vector<std::uint32_t>(kBatch);
    JoinBatch batch_;
};

/// With about ten remembered rows per key and side, as many matches per row; per row.
void interval_join(benchmark::State& state, JoinKind kind) {
    const auto keys = static_cast<std::size_t>(state.range(0));
    const auto reach = static_cast<Duration>(keys * 20);
    const Duration disorder = reach / 20;
    Stream stream(keys, disorder);
    IntervalJoin join({-reach, reach, kind});
    JoinOutput out;
    std::size_t pairs = 0;
    const auto fill = static_cast<std::uint64_t>(2 * (reach + 2 * disorder));
    for (std::uint64_t row = 0; row < fill; row += kBatch) {
        out.clear();
        join.on_batch(stream.next(), stream.batch(), out);
    }
    for (auto _ : state) {
        state.PauseTiming();
        const JoinSide side = stream.next();
        out.clear();
        state.ResumeTiming();
        join.on_batch(side, stream.batch(), out);
        pairs += out.size();
    }
    const auto rows = static_cast<double>(state.iterations() * static_cast<std::int64_t>(kBatch));
    state.SetItemsProcessed(state.iterations() * static_cast<std::int64_t>(kBatch));
    state.counters["output_per_row"] = static_cast<double>(pairs) / rows;
    state.counters["live_rows"] = static_cast<double>(join.live_rows());
    state.counters["bytes_per_live_row"] =
        static_cast<double>(join.state_bytes()) / static_cast<double>(join.live_rows());
}
BENCHMARK_CAPTURE(interval_join, inner, JoinKind::kInner)->Arg(1'000)->Arg(100'000);
BENCHMARK_CAPTURE(interval_join, full, JoinKind::kFull)->Arg(1'000)->Arg(100'000);

}  // namespace
}  // namespace llmopt_stream::bench
