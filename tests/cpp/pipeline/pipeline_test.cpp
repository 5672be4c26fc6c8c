#include "pipeline/pipeline.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <random>
#include <string>
#include <vector>

#include "aggregate/value_statistics.hpp"
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
    BranchPlan& branch = result.branches.emplace_back();
    branch.window.kind = kind;
    branch.window.size = kind == WindowKind::kCount ? 7 : 10'000'000;
    branch.window.slide = kind == WindowKind::kCount ? 3 : 4'000'000;
    branch.window.gap = 500'000;
    branch.window.allowed_lateness = kind == WindowKind::kCount ? 0 : 2'000'000;
    branch.window.collect_late = true;
    branch.metrics = {[](const std::vector<FieldType>& types) {
        return std::make_shared<const ValueStatistics>(
            0, types[0],
            std::vector<Aggregation>{{AggregationKind::kCount, 0, "count"},
                                     {AggregationKind::kPercentile, 95, "p95"}});
    }};
    branch.result_order = {0, 1};
    result.watermark.max_out_of_orderness = 1'000'000;
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
struct Outcome {
    std::string panes;
    RecordCounts records;
    BranchCounts counts;
    std::vector<std::uint64_t> late;
};

Outcome run(const PipelinePlan& of, const std::string& lines) {
    Pipeline pipeline(of);
    NdjsonReader reader(std::make_unique<MemoryByteStream>(lines), 1 << 14);
    ParallelNdjson decoder(of.schema, of.parallelism);
    while (decoder.next(reader, pipeline.workers())) {
        for (std::size_t batch = 0; batch < decoder.size(); ++batch) {
            Pipeline::MalformedCounts malformed = decoder[batch].malformed();
            pipeline.push(pipeline.admit(decoder[batch].batch(), malformed), malformed, 0);
        }
    }
    pipeline.end_of_input();
    Branch& branch = pipeline.branches().front();
    Outcome outcome{{}, pipeline.counts(), branch.counts(), {}};
    for (const LateRecord& record : branch.take_late()) {
        outcome.late.push_back(record.position);
    }
    EXPECT_EQ(branch.windows()->live_keys(), 0U);
    EXPECT_EQ(branch.windows()->state_bytes(), 0U);
    ByteWriter out;
    branch.take_panes().encode(out);
    outcome.panes = out.take();
    return outcome;
}

TEST(Pipeline, OutputDoesNotDependOnTheNumberOfThreads) {
    const std::string lines = events();
    for (const WindowKind kind : {WindowKind::kSliding, WindowKind::kSession, WindowKind::kCount}) {
        for (const bool triggered : {false, true}) {
            PipelinePlan of = plan(kind, 1);
            if (triggered && kind != WindowKind::kCount) {
                Trigger& trigger = of.branches.front().window.trigger;
                trigger.kind = TriggerKind::kAfterWatermark;
                trigger.early.emplace_back().kind = TriggerKind::kCount;
                trigger.early.front().count = 5;
            }
            const Outcome alone = run(of, lines);
            EXPECT_EQ(alone.counts.late == 0, kind == WindowKind::kCount);
            EXPECT_EQ(alone.records.malformed, 40U);
            EXPECT_EQ(alone.records.records_in, alone.counts.aggregated + alone.counts.late +
                                                    alone.records.malformed + alone.counts.outside_windows);
            for (const std::size_t parallelism : {2, 3, 4}) {
                of.parallelism = parallelism;
                const Outcome shared = run(of, lines);
                EXPECT_TRUE(shared.panes == alone.panes) << parallelism;
                EXPECT_EQ(shared.late, alone.late);
                EXPECT_EQ(shared.counts.aggregated, alone.counts.aggregated);
                EXPECT_EQ(shared.counts.unfired, alone.counts.unfired);
            }
        }
    }
}

FieldType settled_after(std::initializer_list<std::optional<FieldType>> types) {
    Pipeline pipeline(plan(WindowKind::kSliding, 1));
    for (const std::optional<FieldType> type : types) {
        pipeline.settle_types({type});
    }
    pipeline.settle_types_as_declared();
    return pipeline.settled_schema().values[0].type;
}

TEST(Pipeline, TheFirstInputThatHasATypeSettlesIt) {
    EXPECT_EQ(settled_after({FieldType::kInt64, FieldType::kFloat64}), FieldType::kInt64);
    EXPECT_EQ(settled_after({FieldType::kFloat64, FieldType::kInt64}), FieldType::kFloat64);
    EXPECT_EQ(settled_after({std::nullopt, FieldType::kInt64}), FieldType::kInt64);
    EXPECT_EQ(settled_after({std::nullopt}), FieldType::kFloat64);
}

/// Of each window shape, how late the records were for their last windows, found window by window.
TEST(Pipeline, DelaysAreThoseOfEachRecordAlone) {
    std::mt19937_64 random(5);
    std::vector<Timestamp> times;
    for (Timestamp record = 0; record < 4'000; ++record) {
        times.push_back(100'000'000 + record * 9'000 -
                        static_cast<Timestamp>(random() % 30'000'000) * (random() % 4 == 0 ? 1 : 0));
    }
    const std::vector<std::array<Duration, 3>> shapes = {
        {10'000'000, 10'000'000, 0}, {10'000'000, 4'000'000, 1'000'000}, {3'000'000, 7'000'000, -2'000'000}};
    for (const auto& [size, slide, offset] : shapes) {
        PipelinePlan of = plan(WindowKind::kSliding, 1);
        WindowPlan& window = of.branches.front().window;
        window.size = size;
        window.slide = slide;
        window.offset = offset;
        Pipeline pipeline(of);
        BatchBuilder builder(of.schema);
        DelayHistogram behind;
        DelayHistogram after_end;
        Timestamp greatest = kMinTimestamp;
        for (std::size_t record = 0; record < times.size(); ++record) {
            builder.begin_record();
            EXPECT_EQ(builder.set_time_micros(times[record]), Malformed::kNone);
            EXPECT_EQ(builder.end_record(), Malformed::kNone);
            if (times[record] < greatest) {
                behind.add(greatest - times[record]);
                const std::vector<Interval> windows = assigner_of(window)->windows_of(times[record]);
                if (!windows.empty() && greatest >= windows.back().end) {
                    after_end.add(greatest - windows.back().end);
                }
            }
            greatest = std::max(greatest, times[record]);
            if (record % 700 == 699 || record + 1 == times.size()) {
                Pipeline::MalformedCounts malformed{};
                pipeline.push(pipeline.admit(builder.batch(), malformed), malformed, 0);
                builder.clear();
            }
        }
        std::uint64_t found = 0;
        for (std::size_t bucket = 0; bucket < DelayHistogram::kBuckets; ++bucket) {
            EXPECT_EQ(pipeline.delays().count(bucket), behind.count(bucket));
            EXPECT_EQ(pipeline.branches().front().delays_after_end().count(bucket), after_end.count(bucket));
            found += after_end.count(bucket);
        }
        EXPECT_GT(found, 100U);
    }
}

}  // namespace
}  // namespace llmopt_stream
