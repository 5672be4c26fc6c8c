#include "source/json_decoder.hpp"

#include <benchmark/benchmark.h>

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "source/feedback_generator.hpp"
#include "source/ndjson_reader.hpp"

namespace llmopt_stream::bench {
namespace {

constexpr std::int64_t kEvents = 20'000;

Schema model_and_latency() {
    Schema schema;
    schema.key_paths = {"data.model"};
    schema.values = {ValueField{.path = "data.latency_ms"}};
    return schema;
}

/// Generated FeedbackEvents, none malformed.
std::string feedback_lines() {
    FeedbackGeneratorSettings settings;
    settings.events = kEvents;
    settings.malformed_share = 0;
    FeedbackGenerator generator(settings);
    std::string lines;
    while (generator.generate(lines, std::size_t{1} << 20) > 0) {
    }
    return lines;
}

/// Lines in memory: time, key and one value; per record.
void decode_ndjson(benchmark::State& state) {
    const std::string lines = feedback_lines();
    JsonDecoder decoder(model_and_latency());
    BatchBuilder builder(model_and_latency());
    for (auto _ : state) {
        NdjsonReader reader(std::make_unique<MemoryByteStream>(lines));
        std::size_t records = 0;
        while (reader.next(decoder, builder)) {
            records += builder.batch().size;
        }
        if (records != kEvents) {
            state.SkipWithError("records are lost");
            break;
        }
    }
    state.SetItemsProcessed(state.iterations() * kEvents);
    state.SetBytesProcessed(state.iterations() * static_cast<std::int64_t>(lines.size()));
}
BENCHMARK(decode_ndjson);

/// The same without the layouts of recent records: every line is tokenized; per record.
void decode_unexpected_json(benchmark::State& state) {
    std::string lines = feedback_lines();
    lines.reserve(lines.size() + kJsonPadding);
    std::vector<std::string_view> records;
    for (std::size_t begin = 0; begin < lines.size();) {
        const std::size_t end = lines.find('\n', begin);
        records.emplace_back(lines.data() + begin, end - begin);
        begin = end + 1;
    }
    JsonDecoder decoder(model_and_latency());
    BatchBuilder builder(model_and_latency());
    for (auto _ : state) {
        builder.clear();
        for (const std::string_view record : records) {
            if (decoder.decode(record, builder) != Malformed::kNone) {
                state.SkipWithError("a record is malformed");
                return;
            }
        }
    }
    state.SetItemsProcessed(state.iterations() * kEvents);
    state.SetBytesProcessed(state.iterations() * static_cast<std::int64_t>(lines.size()));
}
BENCHMARK(decode_unexpected_json);

}  // namespace
}  // namespace llmopt_stream::bench
