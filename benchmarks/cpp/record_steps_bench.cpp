#include "operator/record_steps.hpp"

#include <benchmark/benchmark.h>

#include <algorithm>
#include <numeric>
#include <string>
#include <vector>

#include "expression/derived_columns.hpp"
#include "record/batch_part.hpp"
#include "record/key.hpp"
#include "samples.hpp"

namespace llmopt_stream::bench {
namespace {

using Operation = Expression::Operation;
using Step = Expression::Step;

constexpr std::size_t kRecords = 65536;

/// Records with a latency, a cost and a number of tokens, and a status that is one of three texts.
struct Requests {
    std::vector<double> latency = latencies(kRecords);
    std::vector<double> cost = latencies(kRecords);
    std::vector<double> tokens = latencies(kRecords);
    std::vector<Timestamp> time = std::vector<Timestamp>(kRecords);
    std::vector<std::uint32_t> key = choices(kRecords, 1);
    std::vector<std::uint32_t> status = choices(kRecords, 3);
    KeyDictionary keys;
    KeyDictionary statuses;
    RecordBatch batch;

    Requests() {
        std::iota(time.begin(), time.end(), 0);
        static_cast<void>(keys.intern({}));
        for (const std::string& name : tenants(3)) {
            static_cast<void>(statuses.intern(name));
        }
        batch.size = batch.input_records = kRecords;
        batch.event_time = time;
        batch.key = key;
        batch.keys = &keys;
        for (const auto* column : {&latency, &cost, &tokens}) {
            batch.values.push_back({FieldType::kFloat64, *column, {}, {}});
        }
        batch.labels.push_back({status, &statuses});
    }
};

Step column(std::size_t index) { return {Operation::kColumn, index}; }
Step constant(double number) {
    Step step{Operation::kConstant};
    step.number = number;
    return step;
}
Step compare(Comparison comparison) {
    Step step{Operation::kCompare};
    step.comparison = comparison;
    return step;
}

/// latency > threshold.
Expression slow(double threshold) {
    return Expression({column(0), constant(threshold), compare(Comparison::kGreater)});
}
/// cost / tokens * 1000.
Expression cost_per_thousand() {
    return Expression({column(1), column(2), {Operation::kDivide}, constant(1000), {Operation::kMultiply}});
}

/// A filter that lets about half of the records go on, what goes on as a batch, and an expression of that;
/// per record.
void filter_and_project(benchmark::State& state) {
    const Requests requests;
    std::vector<double> sorted = requests.latency;
    std::nth_element(sorted.begin(), sorted.begin() + kRecords / 2, sorted.end());
    RecordSteps steps({FilterStep{slow(sorted[kRecords / 2])}});
    const std::vector<Timestamp> watermark(kRecords, kMinTimestamp);
    BatchPart part;
    DerivedColumns projection({cost_per_thousand()}, {});
    for (auto _ : state) {
        RecordBatch chosen = part.take(requests.batch, steps.choose(requests.batch, watermark));
        projection.append_to(chosen);
        benchmark::DoNotOptimize(chosen.values.back().float64.data());
    }
    state.SetItemsProcessed(state.iterations() * static_cast<std::int64_t>(kRecords));
}
BENCHMARK(filter_and_project);

/// The same filter alone.
void filter_alone(benchmark::State& state) {
    const Requests requests;
    RecordSteps steps({FilterStep{slow(1)}});
    const std::vector<Timestamp> watermark(kRecords, kMinTimestamp);
    for (auto _ : state) {
        benchmark::DoNotOptimize(steps.choose(requests.batch, watermark).data());
    }
    state.SetItemsProcessed(state.iterations() * static_cast<std::int64_t>(kRecords));
}
BENCHMARK(filter_alone);

}  // namespace
}  // namespace llmopt_stream::bench
