// Any bytes are one record: accepted, or rejected for a reason, never a crash. Whether a record
// is sound does not depend on the fields that a plan reads, nor on whether its layout is known.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>

#include "record/batch_builder.hpp"
#include "source/json_decoder.hpp"

namespace {

using namespace llmopt_stream;

struct Plan {
    explicit Plan(Schema fields) : schema(std::move(fields)) {}

    Malformed decode(std::string_view record) {
        builder.clear();
        return decoder.decode_unpadded(record, builder);
    }

    Schema schema;
    BatchBuilder builder{schema};
    JsonDecoder decoder{schema};
};

Schema few_fields() {
    Schema schema;
    schema.time_path = "nobody";
    return schema;
}

Schema many_fields() {
    Schema schema;
    schema.key_paths = {"data.model", "id"};
    schema.values = {{"data.latency_ms", FieldType::kFloat64, false},
                     {"data.tokens", FieldType::kInt64, true},
                     {"a", FieldType::kFloat64, false}};
    return schema;
}

bool is_sound(Malformed why) {
    return why == Malformed::kNone || why == Malformed::kDuplicateField || why == Malformed::kTimeMissing ||
           why == Malformed::kTimeInvalid || why == Malformed::kKeyNotScalar;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    static Plan few(few_fields());
    static Plan many(many_fields());
    const std::string_view record(reinterpret_cast<const char*>(data), size);
    const Malformed with_few = few.decode(record);
    const Malformed with_many = many.decode(record);
    if (is_sound(with_few) != is_sound(with_many) || (!is_sound(with_few) && with_few != with_many)) {
        std::fprintf(stderr, "verdicts differ: %d %d\n", static_cast<int>(with_few),
                     static_cast<int>(with_many));
        std::abort();
    }
    const std::string line = std::string(record) + "\n" + std::string(kJsonPadding, ' ');
    many.builder.clear();
    const std::size_t matched =
        many.decoder.decode_expected(std::string_view(line).substr(0, size + 1), many.builder);
    // A line feed inside the record ends the line before it; only whole records can be compared.
    if (matched == size && !is_sound(with_many)) {
        std::fprintf(stderr, "a known layout took %zu bytes of a record judged %d\n", matched,
                     static_cast<int>(with_many));
        std::abort();
    }
    return 0;
}
