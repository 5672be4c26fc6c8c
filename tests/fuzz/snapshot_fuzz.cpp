// A snapshot whose frame is sound but whose body is not is refused or read, never a crash, a hang
// or a wild allocation. The input is a list of edits to a real snapshot: byte 0 chooses the plan,
// bytes 1 and 2 where the body is cut (0: nowhere), then triples of offset and bits to flip.
#include <cstdint>
#include <string>
#include <vector>

#include "pipeline/pipeline.hpp"
#include "record/batch_builder.hpp"
#include "record/error.hpp"
#include "source/json_decoder.hpp"
#include "state/snapshot_frame.hpp"

namespace {

using namespace llmopt_stream;

PipelinePlan plan(bool session, bool integers) {
    PipelinePlan result;
    result.fingerprint = "fuzz";
    result.schema.time_path = "t";
    result.schema.time_unit = TimeUnit::kMicrosecond;
    result.schema.key_paths = {"k"};
    result.schema.values = {{"v", integers ? FieldType::kInt64 : FieldType::kFloat64, true}};
    result.window.kind = session ? WindowKind::kSession : WindowKind::kSliding;
    result.window.size = 10;
    result.window.slide = 4;
    result.window.gap = 5;
    result.window.allowed_lateness = 6;
    result.metrics = {{0,
                       {{AggregationKind::kCount, 0, "count"},
                        {AggregationKind::kSum, 0, "sum"},
                        {AggregationKind::kStddev, 0, "stddev"},
                        {AggregationKind::kMin, 0, "min"},
                        {AggregationKind::kPercentile, 99, "p99"}}}};
    result.max_out_of_orderness = 3;
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
    pipeline.push(builder.batch(), builder.malformed(), 0);
    return snapshot_frame::open(of.fingerprint, pipeline.snapshot());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    static const std::vector<PipelinePlan> plans = {plan(false, false), plan(true, false), plan(false, true),
                                                    plan(true, true)};
    static const std::vector<std::string> bodies = {body_of(plans[0]), body_of(plans[1]), body_of(plans[2]),
                                                    body_of(plans[3])};
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
        (void)pipeline.take_panes();
        (void)pipeline.snapshot();
    } catch (const Error&) {
        return 0;
    }
    return 0;
}
