#include "pipeline/pipeline.hpp"

#include <gtest/gtest.h>

#include <random>
#include <string>

#include "pipeline/parallel_ndjson.hpp"
#include "record/batch_builder.hpp"
#include "record/error.hpp"
#include "source/byte_stream.hpp"

namespace llmopt_stream {
namespace {

PipelinePlan plan(WindowKind kind, std::size_t parallelism) {
    PipelinePlan result;
    result.fingerprint = "test";
    result.schema.time_path = "t";
    result.schema.time_unit = TimeUnit::kMillisecond;
    result.schema.key_paths = {"k"};
    result.schema.values = {{"v", FieldType::kFloat64, false}};
    result.window.kind = kind;
    result.window.size = 10'000'000;
    result.window.slide = 4'000'000;
    result.window.gap = 500'000;
    result.window.allowed_lateness = 2'000'000;
    result.window.collect_late = true;
    result.metrics = {
        {0, {{AggregationKind::kCount, 0, "count"}, {AggregationKind::kPercentile, 95, "p95"}}}};
    result.max_out_of_orderness = 1'000'000;
    result.parallelism = parallelism;
    return result;
}

std::string events() {
    std::mt19937 random(3);
    std::string lines;
    for (int record = 0; record < 20'000; ++record) {
        const int late = record % 300 == 0 ? 20'000 : 0;
        lines +=
            "{\"t\":" + std::to_string(100'000 + record * 5 - late - static_cast<int>(random() % 1'500)) +
            ",\"k\":\"key-" + std::to_string(random() % 50) + "\",\"v\":" + std::to_string(random() % 1'000) +
            (record % 501 == 0 ? "\n" : "}\n");
    }
    return lines;
}

/// Reads the lines in as many threads as the plan says; the panes as bytes, in order.
std::string run(const PipelinePlan& of, const std::string& lines, RecordCounts& counts,
                std::vector<std::uint64_t>& late) {
    Pipeline pipeline(of);
    NdjsonReader reader(std::make_unique<MemoryByteStream>(lines), 1 << 14);
    ParallelNdjson decoder(of.schema, of.parallelism);
    while (decoder.next(reader, pipeline.workers())) {
        for (std::size_t batch = 0; batch < decoder.size(); ++batch) {
            pipeline.push(decoder[batch].batch(), decoder[batch].malformed(), 0);
        }
    }
    pipeline.end_of_input();
    counts = pipeline.counts();
    for (const LateRecord& record : pipeline.take_late()) {
        late.push_back(record.position);
    }
    EXPECT_EQ(pipeline.window_operator().live_keys(), 0U);
    EXPECT_EQ(pipeline.window_operator().state_bytes(), 0U);
    ByteWriter out;
    pipeline.take_panes().encode(out);
    return out.take();
}

TEST(Pipeline, OutputDoesNotDependOnTheNumberOfThreads) {
    const std::string lines = events();
    for (const WindowKind kind : {WindowKind::kSliding, WindowKind::kSession}) {
        RecordCounts alone;
        std::vector<std::uint64_t> late_alone;
        const std::string expected = run(plan(kind, 1), lines, alone, late_alone);
        EXPECT_GT(alone.late, 0U);
        EXPECT_EQ(alone.malformed, 40U);
        EXPECT_EQ(alone.records_in, alone.aggregated + alone.late + alone.malformed + alone.outside_windows);
        for (const std::size_t parallelism : {2, 3, 4}) {
            RecordCounts counts;
            std::vector<std::uint64_t> late;
            EXPECT_TRUE(run(plan(kind, parallelism), lines, counts, late) == expected) << parallelism;
            EXPECT_EQ(late, late_alone);
            EXPECT_EQ(counts.aggregated, alone.aggregated);
        }
    }
}

TEST(Pipeline, FloatsAfterIntegersAreRefusedIntegersAfterFloatsAreTaken) {
    Pipeline integers(plan(WindowKind::kSliding, 1));
    integers.settle_types({FieldType::kInt64});
    EXPECT_THROW(integers.settle_types({FieldType::kFloat64}), Error);
    Pipeline floats(plan(WindowKind::kSliding, 1));
    floats.settle_types({FieldType::kFloat64});
    EXPECT_NO_THROW(floats.settle_types({FieldType::kInt64}));
}

}  // namespace
}  // namespace llmopt_stream
