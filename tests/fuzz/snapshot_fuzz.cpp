// A snapshot whose frame is sound but whose body is not is refused or read, never a crash, a hang
// or a wild allocation. The input is a list of edits to a real snapshot: byte 0 chooses the plan,
// bytes 1 and 2 where the body is cut (0: nowhere), then triples of offset and bits to flip.
#include <cstdint>
#include <string>
#include <vector>

#include "aggregate/value_statistics.hpp"
#include "pipeline/pipeline.hpp"
#include "record/batch_builder.hpp"
#include "record/error.hpp"
#include "source/json_decoder.hpp"
#include "state/snapshot_frame.hpp"

namespace {

using namespace llmopt_stream;

PipelinePlan plan(WindowKind kind, bool integers, bool early = false) {
    PipelinePlan result;
    result.fingerprint = "fuzz";
    result.schema.time_path = "t";
    result.schema.time_unit = TimeUnit::kMicrosecond;
    result.schema.key_paths = {"k"};
    result.schema.values = {{"v", integers ? FieldType::kInt64 : FieldType::kFloat64, true}};
    BranchPlan& branch = result.branches.emplace_back();
    branch.window.kind = kind;
    branch.window.size = 10;
    branch.window.slide = 4;
    branch.window.gap = 5;
    branch.window.allowed_lateness = 6;
    if (early) {
        branch.window.trigger.kind = TriggerKind::kAfterWatermark;
        branch.window.trigger.early.emplace_back().kind = TriggerKind::kCount;
        branch.window.trigger.early.front().count = 5;
    }
    branch.metrics = {[](const std::vector<FieldType>& types) {
        return std::make_shared<const ValueStatistics>(
            0, types[0],
            std::vector<Aggregation>{{AggregationKind::kCount, 0, "count"},
                                     {AggregationKind::kSum, 0, "sum"},
                                     {AggregationKind::kStddev, 0, "stddev"},
                                     {AggregationKind::kMin, 0, "min"},
                                     {AggregationKind::kPercentile, 99, "p99"}});
    }};
    branch.result_order = {0, 1, 2, 3, 4};
    result.watermark.max_out_of_orderness = 3;
    return result;
}

std::string body_of(const PipelinePlan& of) {
    Pipeline pipeline(of);
    BatchBuilder builder(of.schema);
    JsonDecoder decoder(of.schema);
    for (int record = 0; record < 300; ++record) {
        const int value = record % 7 == 0 ? -record : record * record;
        decoder.decode_unpadded("{\"t\":" + std::to_string(record / 8) + ",\"k\":\"key-" +
                                    std::to_string(record % 3) + "\",\"v\":" + std::to_string(value) + "}",
                                builder);
    }
    Pipeline::MalformedCounts malformed = builder.malformed();
    pipeline.push(pipeline.admit(builder.batch(), malformed), malformed, 0);
    return snapshot_frame::open(of.fingerprint, pipeline.snapshot());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    static const std::vector<PipelinePlan> plans = {
        plan(WindowKind::kSliding, false),      plan(WindowKind::kSession, false),
        plan(WindowKind::kSliding, true),       plan(WindowKind::kSession, true),
        plan(WindowKind::kSliding, true, true), plan(WindowKind::kCount, false),
        plan(WindowKind::kGlobal, true, true)};
    static const std::vector<std::string> bodies = [] {
        std::vector<std::string> made;
        for (const PipelinePlan& each : plans) {
            made.push_back(body_of(each));
        }
        return made;
    }();
    if (size < 3) {
        return 0;
    }
    const std::size_t which = data[0] % plans.size();
    std::string body = bodies[which];
    if (const std::size_t cut = data[1] + 256U * data[2]; cut != 0) {
        body.resize(cut % body.size());
    }
    for (std::size_t at = 3; at + 2 < size && !body.empty(); at += 3) {
        char& edited = body[(data[at] + 256U * data[at + 1]) % body.size()];
        edited = static_cast<char>(edited ^ data[at + 2]);
    }
    Pipeline pipeline(plans[which]);
    try {
        pipeline.restore(snapshot_frame::seal("fuzz", body));
        pipeline.end_of_input();
        (void)pipeline.branches().front().take_panes();
        (void)pipeline.snapshot();
    } catch (const Error&) {
        return 0;
    }
    return 0;
}
