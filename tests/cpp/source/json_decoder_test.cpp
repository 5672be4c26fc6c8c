#include "source/json_decoder.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <string>
#include <string_view>
#include <vector>

#include "record/key.hpp"

namespace llmopt_stream {
namespace {

constexpr Timestamp kNewYear2026 = 1'767'225'600'000'000;
constexpr const char* kTime = R"("timestamp":"2026-01-01T00:00:00Z")";

/// Decodes records one by one and shows the last one.
class Decoding {
public:
    explicit Decoding(const Schema& schema) : decoder_(schema), builder_(schema) {}

    Malformed operator()(std::string_view record) {
        builder_.clear();
        const Malformed verdict = decoder_.decode_unpadded(record, builder_);
        EXPECT_EQ(builder_.input_records(), 1U);
        EXPECT_EQ(builder_.batch().size, verdict == Malformed::kNone ? 1U : 0U);
        if (verdict != Malformed::kNone) {
            EXPECT_EQ(builder_.malformed()[static_cast<std::size_t>(verdict)], 1U);
        }
        return verdict;
    }

    [[nodiscard]] Timestamp time() const { return builder_.batch().event_time[0]; }
    [[nodiscard]] double value(std::size_t column = 0) const {
        return builder_.batch().values[column].float64[0];
    }
    [[nodiscard]] std::vector<KeyValue> key() const {
        const RecordBatch batch = builder_.batch();
        return key_encoding::decode(batch.keys->key(batch.key[0]));
    }
    [[nodiscard]] std::vector<KeyValue> label(std::size_t column) const {
        const LabelColumn label = builder_.batch().labels[column];
        return key_encoding::decode(label.values->key(label.code[0]));
    }
    [[nodiscard]] const BatchBuilder& builder() const { return builder_; }

private:
    JsonDecoder decoder_;
    BatchBuilder builder_;
};

Schema schema(std::vector<std::string> keys, std::vector<ValueField> values = {}) {
    Schema schema;
    schema.key_paths = std::move(keys);
    schema.values = std::move(values);
    return schema;
}

/// An object of these members and a time.
std::string record(const std::string& members) { return std::string("{") + kTime + "," + members + "}"; }

using Key = std::vector<KeyValue>;

TEST(JsonDecoder, ReadsTheFieldsOfAFeedbackEvent) {
    Decoding decode(schema({"data.model", "metadata.region"}, {{"data.latency_ms"}, {"data.cost_usd"}}));
    EXPECT_EQ(
        decode(
            R"({"id":"evt-000000001","timestamp":"2026-01-01T00:00:00.123456Z","source":"gateway",)"
            R"("event_type":"completion","data":{"model":"gpt-4o","latency_ms":812.31,"prompt_tokens":512,)"
            R"("completion_tokens":128,"cost_usd":0.0123,"quality":0.91,"error":null},)"
            R"("metadata":{"tenant":"tenant-007","region":"us-west-2","user":"u-183"}})"),
        Malformed::kNone);
    EXPECT_EQ(decode.time(), kNewYear2026 + 123'456);
    EXPECT_EQ(decode.key(), (Key{std::string("gpt-4o"), std::string("us-west-2")}));
    EXPECT_EQ(decode.value(0), 812.31);
    EXPECT_EQ(decode.value(1), 0.0123);
}

TEST(JsonDecoder, TheOrderOfFieldsAndWhiteSpaceDoNotMatter) {
    Decoding decode(schema({"k"}, {{"d.v"}}));
    EXPECT_EQ(
        decode(
            "\t{ \"d\" :\r\n{ \"x\" : [ ] , \"v\" : 2 } , \"k\" : \"a\" ,\"timestamp\":\"2026-01-01\" } \n"),
        Malformed::kNone);
    EXPECT_EQ(decode.value(), 2.0);
    EXPECT_EQ(decode.key(), Key{std::string("a")});
}

TEST(JsonDecoder, APathAddressesNestedObjectsOrAFlatFieldOfItsName) {
    Decoding decode(schema({}, {{"a.b.c"}}));
    EXPECT_EQ(decode(record(R"("a":{"b":{"c":1}})")), Malformed::kNone);
    EXPECT_EQ(decode.value(), 1.0);
    EXPECT_EQ(decode(record(R"("a":{"b.c":2})")), Malformed::kNone);
    EXPECT_EQ(decode.value(), 2.0);
    EXPECT_EQ(decode(record(R"("a.b.c":3)")), Malformed::kNone);
    EXPECT_EQ(decode.value(), 3.0);
    EXPECT_EQ(decode(record(R"("a.b":{"c":4})")), Malformed::kNone);
    EXPECT_EQ(decode.value(), 4.0);
    EXPECT_EQ(decode(record(R"("a":[{"b":{"c":5}}],"x":{"a":{"b":{"c":5}}},"b":{"c":5},"c":5)")),
              Malformed::kNone);
    EXPECT_TRUE(std::isnan(decode.value()));
}

TEST(JsonDecoder, AnyDotOfAPathMayBePartOfAName) {
    Decoding decode(schema({"attributes.gen_ai.request.model"}, {{"attributes.gen_ai.usage.tokens"}}));
    for (const char* const members : {
             R"("attributes":{"gen_ai.request.model":"m","gen_ai.usage.tokens":7})",
             R"("attributes":{"gen_ai":{"request":{"model":"m"},"usage":{"tokens":7}}})",
             R"("attributes":{"gen_ai":{"request.model":"m","usage.tokens":7}})",
             R"("attributes":{"gen_ai.request":{"model":"m"},"gen_ai":{"usage":{"tokens":7}}})",
             R"("attributes.gen_ai.request.model":"m","attributes.gen_ai":{"usage.tokens":7})",
         }) {
        EXPECT_EQ(decode(record(members)), Malformed::kNone) << members;
        EXPECT_EQ(decode.key(), Key{std::string("m")}) << members;
        EXPECT_EQ(decode.value(), 7.0) << members;
    }
}

TEST(JsonDecoder, SeveralSpellingsOfOnePathAreADuplicate) {
    Decoding decode(schema({}, {{"a.b.c"}}));
    EXPECT_EQ(decode(record(R"("a":{"b":{"c":1}},"a.b.c":1)")), Malformed::kDuplicateField);
    EXPECT_EQ(decode(record(R"("a":{"b":{"c":1}},"a.b":{"c":1})")), Malformed::kDuplicateField);
    EXPECT_EQ(decode(record(R"("a.b":{"c":1},"a":{"b.c":1})")), Malformed::kDuplicateField);
    // Two ways that lead there, of which one has nothing at its end.
    EXPECT_EQ(decode(record(R"("a":{"b":{"x":1}},"a.b":{"c":2})")), Malformed::kNone);
    EXPECT_EQ(decode.value(), 2.0);
    EXPECT_EQ(decode(record(R"("a":{"b":{}},"a":{"b":{"c":2}})")), Malformed::kDuplicateField);
}

TEST(JsonDecoder, ALabelIsAnyScalarAndNullForTheRest) {
    Schema labelled = schema({}, {});
    labelled.labels = {"a", "b.c"};
    Decoding decode(labelled);
    EXPECT_EQ(decode(record(R"("a":"x","b":{"c":true})")), Malformed::kNone);
    EXPECT_EQ(decode.label(0), Key{std::string("x")});
    EXPECT_EQ(decode.label(1), Key{true});
    EXPECT_EQ(decode(record(R"("a":18446744073709551615,"b.c":1.5)")), Malformed::kNone);
    EXPECT_EQ(decode.label(0), Key{std::uint64_t{18446744073709551615U}});
    EXPECT_EQ(decode.label(1), Key{1.5});
    EXPECT_EQ(decode(record(R"("a":36893488147419103232,"b":{"c":-7})")), Malformed::kNone);
    EXPECT_EQ(decode.label(0), Key{0x1p65});
    EXPECT_EQ(decode.label(1), Key{std::int64_t{-7}});
    for (const char* const members : {R"("x":1)", R"("a":null,"b":null)", R"("a":[1],"b":{"c":{"d":1}})",
                                      R"("a":1e999,"b":{"c":-1e999})"}) {
        EXPECT_EQ(decode(record(members)), Malformed::kNone) << members;
        EXPECT_EQ(decode.label(0), Key{std::monostate{}}) << members;
        EXPECT_EQ(decode.label(1), Key{std::monostate{}}) << members;
    }
    EXPECT_EQ(decode(record(R"("a":1,"a":2)")), Malformed::kDuplicateField);
    EXPECT_EQ(decode(record(R"("b":{"c":1},"b.c":1)")), Malformed::kDuplicateField);
}

TEST(JsonDecoder, OnePathMayBeValueKeyAndLabelAtOnce) {
    Schema all = schema({"v"}, {{"v"}});
    all.labels = {"v"};
    Decoding decode(all);
    EXPECT_EQ(decode(record(R"("v":7)")), Malformed::kNone);
    EXPECT_EQ(decode.key(), Key{std::int64_t{7}});
    EXPECT_EQ(decode.label(0), Key{std::int64_t{7}});
    EXPECT_EQ(decode.value(), 7.0);
}

TEST(JsonDecoder, OnePathMayServeSeveralTargets) {
    Schema several = schema({"timestamp", "v"}, {{"v"}, {"v", FieldType::kInt64}, {"v.w"}});
    several.time_unit = TimeUnit::kSecond;
    Decoding decode(several);
    EXPECT_EQ(decode(R"({"timestamp":10,"v":7})"), Malformed::kNone);
    EXPECT_EQ(decode.time(), 10'000'000);
    EXPECT_EQ(decode.key(), (Key{std::int64_t{10}, std::int64_t{7}}));
    EXPECT_EQ(decode.value(0), 7.0);
    EXPECT_EQ(decode.builder().batch().values[1].int64[0], 7);
    EXPECT_TRUE(std::isnan(decode.value(2)));
}

TEST(JsonDecoder, AFieldThatIsReadAndLookedIntoMayBeAnObject) {
    Decoding decode(schema({}, {{"v"}, {"v.w"}}));
    EXPECT_EQ(decode(record(R"("v":{"w":3})")), Malformed::kNone);
    EXPECT_TRUE(std::isnan(decode.value(0)));
    EXPECT_EQ(decode.value(1), 3.0);
}

TEST(JsonDecoder, NamesAreComparedWhole) {
    Decoding decode(schema({}, {{"a"}, {"abcdefgh"}, {"abcdefghi"}, {"abcdefgh_1234567_x"}, {""}}));
    EXPECT_EQ(
        decode(record(R"("aa":9,"abcdefg":9,"abcdefghj":9,"abcdefghij":9,"abcdefgh_1234567_y":9,"A":9)")),
        Malformed::kNone);
    for (std::size_t column = 0; column < 5; ++column) {
        EXPECT_TRUE(std::isnan(decode.value(column))) << column;
    }
    EXPECT_EQ(decode(record(R"("a":1,"abcdefgh":2,"abcdefghi":3,"abcdefgh_1234567_x":4,"":5)")),
              Malformed::kNone);
    for (std::size_t column = 0; column < 5; ++column) {
        EXPECT_EQ(decode.value(column), static_cast<double>(column + 1));
    }
}

TEST(JsonDecoder, NamesMayBeEscapedOrHoldAnyCharacter) {
    Decoding decode(schema({}, {{"data.v"}, {"a\"b"}, {"a\\b"}, {"\u00e9"}}));
    EXPECT_EQ(decode(record(R"("\u0064ata":{"\u0076":1},"a\"b":2,"a\\b":3,"\u00e9":4)")), Malformed::kNone);
    for (std::size_t column = 0; column < 4; ++column) {
        EXPECT_EQ(decode.value(column), static_cast<double>(column + 1));
    }
    EXPECT_EQ(decode(record(R"("a\b":3)")), Malformed::kNone);
    EXPECT_TRUE(std::isnan(decode.value(2)));
    EXPECT_EQ(decode(record(R"("a\x":3)")), Malformed::kSyntax);
}

TEST(JsonDecoder, TheTimeIsTextOrANumber) {
    Schema seconds;
    seconds.time_unit = TimeUnit::kSecond;
    Decoding decode(seconds);
    EXPECT_EQ(decode(R"({"timestamp":1700000000.123})"), Malformed::kNone);
    EXPECT_EQ(decode.time(), 1'700'000'000'123'000);
    EXPECT_EQ(decode(R"({"timestamp":"1970-01-01T00:00:01\u005A"})"), Malformed::kNone);
    EXPECT_EQ(decode.time(), 1'000'000);
    EXPECT_EQ(decode(R"({"timestamp":null})"), Malformed::kTimeMissing);
    EXPECT_EQ(decode(R"({"time":1})"), Malformed::kTimeMissing);
    EXPECT_EQ(decode("{}"), Malformed::kTimeMissing);
    for (const char* invalid :
         {"true", "[]", "{}", "\"\"", "\"1700000000\"", "1e999", "99999999999999999999", "-1e300"}) {
        EXPECT_EQ(decode(std::string(R"({"timestamp":)") + invalid + "}"), Malformed::kTimeInvalid)
            << invalid;
    }
}

TEST(JsonDecoder, SaysWhichIntegerTimeHasProbablyAnotherUnit) {
    Decoding decode{Schema{}};
    EXPECT_EQ(decode(R"({"timestamp":1700000000})"), Malformed::kTimeInvalid);
    ASSERT_NE(decode.builder().suspicious_time(), nullptr);
    EXPECT_EQ(*decode.builder().suspicious_time(), 1'700'000'000);
    EXPECT_EQ(decode(R"({"timestamp":1700000000000000})"), Malformed::kNone);
}

TEST(JsonDecoder, AValueOfAnotherTypeDoesNotCountButItsRecordDoes) {
    Decoding decode(schema({}, {{"v"}, {"v", FieldType::kInt64}}));
    for (const char* unusable : {"null", "true", "false", "\"1\"", "[1]", "{\"v\":1}", "[]", "{}"}) {
        EXPECT_EQ(decode(record(std::string("\"v\":") + unusable)), Malformed::kNone) << unusable;
        EXPECT_TRUE(std::isnan(decode.value())) << unusable;
        EXPECT_EQ(decode.builder().batch().values[1].present[0], 0U) << unusable;
    }
    EXPECT_EQ(decode(record(R"("v":1e999)")), Malformed::kNone);
    EXPECT_EQ(decode.value(), HUGE_VAL);
    EXPECT_EQ(decode(record(R"("v":18446744073709551615)")), Malformed::kNone);
    EXPECT_EQ(decode.value(), 0x1p64);
    EXPECT_EQ(decode.builder().batch().values[1].present[0], 0U);
    EXPECT_EQ(decode(record(R"("v":-0)")), Malformed::kNone);
    EXPECT_EQ(decode.value(), 0.0);
    EXPECT_EQ(decode(record(R"("v":9007199254740993)")), Malformed::kNone);
    EXPECT_EQ(decode.builder().batch().values[1].int64[0], 9'007'199'254'740'993);
    EXPECT_EQ(decode(record(R"("v":2.0)")), Malformed::kNone);
    EXPECT_EQ(decode.builder().batch().values[1].int64[0], 2);
}

TEST(JsonDecoder, KeysKeepTheirTypes) {
    Decoding decode(schema({"k"}));
    EXPECT_EQ(decode(record(R"("k":null)")), Malformed::kNone);
    EXPECT_EQ(decode.key(), Key{std::monostate{}});
    EXPECT_EQ(decode(record(R"("x":1)")), Malformed::kNone);
    EXPECT_EQ(decode.key(), Key{std::monostate{}});
    EXPECT_EQ(decode(record(R"("k":true)")), Malformed::kNone);
    EXPECT_EQ(decode.key(), Key{true});
    EXPECT_EQ(decode(record(R"("k":-5)")), Malformed::kNone);
    EXPECT_EQ(decode.key(), Key{std::int64_t{-5}});
    EXPECT_EQ(decode(record(R"("k":18446744073709551615)")), Malformed::kNone);
    EXPECT_EQ(decode.key(), Key{std::numeric_limits<std::uint64_t>::max()});
    EXPECT_EQ(decode(record(R"("k":0.5)")), Malformed::kNone);
    EXPECT_EQ(decode.key(), Key{0.5});
    EXPECT_EQ(decode(record(R"("k":"")")), Malformed::kNone);
    EXPECT_EQ(decode.key(), Key{std::string()});
    EXPECT_EQ(decode(record(R"("k":"a\u0000b\n\ud83d\ude00")")), Malformed::kNone);
    EXPECT_EQ(decode.key(), Key{std::string("a\0b\n\U0001F600", 8)});
    for (const char* number : {"1e999", "-1e999", "18446744073709551616", "-9223372036854775809"}) {
        EXPECT_EQ(decode(record("\"k\":" + std::string(number))), Malformed::kKeyNotScalar) << number;
    }
    EXPECT_EQ(decode(record(R"("k":[])")), Malformed::kKeyNotScalar);
    EXPECT_EQ(decode(record(R"("k":{"a":1})")), Malformed::kKeyNotScalar);
}

TEST(JsonDecoder, AFieldThatIsReadMayOccurOnlyOnce) {
    Decoding decode(schema({"k"}, {{"data.v"}}));
    EXPECT_EQ(decode(record(R"("k":1,"k":1)")), Malformed::kDuplicateField);
    EXPECT_EQ(decode(record(R"("k":1,"\u006b":null)")), Malformed::kDuplicateField);
    EXPECT_EQ(decode(record(R"("timestamp":"2026-01-01")")), Malformed::kDuplicateField);
    EXPECT_EQ(decode(record(R"("data":{"v":1,"v":2})")), Malformed::kDuplicateField);
    EXPECT_EQ(decode(record(R"("data":{"v":1},"data.v":2)")), Malformed::kDuplicateField);
    EXPECT_EQ(decode(record(R"("data":{"v":null},"data.v":[])")), Malformed::kDuplicateField);
    EXPECT_EQ(decode(record(R"("data":{"v":1},"data":{})")), Malformed::kDuplicateField);
    EXPECT_EQ(decode(record(R"("x":1,"x":2,"data":{"x":1,"x":2},"y":{"v":1,"v":1})")), Malformed::kNone);
    EXPECT_EQ(decode(record(R"("k":1)")), Malformed::kNone);
}

TEST(JsonDecoder, ABrokenDocumentIsNamedBeforeAnUnusableField) {
    Decoding decode(schema({"k"}));
    EXPECT_EQ(decode(R"({"timestamp":null,"k":[],"x":tru})"), Malformed::kSyntax);
    EXPECT_EQ(decode(R"({"k":[],"timestamp":null,"x":true})"), Malformed::kKeyNotScalar);
    EXPECT_EQ(decode(R"({"k":[],"x":true})"), Malformed::kKeyNotScalar);
    EXPECT_EQ(decode("{\"timestamp\":null,\"k\":\"\xFF\"}"), Malformed::kBadUtf8);
}

TEST(JsonDecoder, ReadsRecordsBehindOneAnotherInOneBuffer) {
    const Schema keyed = schema({"k"}, {{"v"}});
    JsonDecoder decoder(keyed);
    BatchBuilder builder(keyed);
    const std::string first = record(R"("k":"a","v":1)");
    const std::string bytes = first + first + std::string(kJsonPadding, '}');
    EXPECT_EQ(decoder.decode(std::string_view(bytes).substr(0, first.size()), builder), Malformed::kNone);
    EXPECT_EQ(decoder.decode(std::string_view(bytes).substr(0, first.size() - 1), builder),
              Malformed::kSyntax);
    EXPECT_EQ(decoder.decode(std::string_view(bytes).substr(first.size(), first.size()), builder),
              Malformed::kNone);
    EXPECT_EQ(builder.batch().size, 2U);
    EXPECT_EQ(builder.batch().keys->size(), 1U);
    EXPECT_EQ(builder.batch().input_index[1], 2U);
}

TEST(JsonDecoder, ARecordAtTheLimitIsReadAndALongerOneIsNot) {
    Decoding decode(schema({"k"}));
    const auto of_size = [](std::size_t size) {
        const std::string rest = record(R"("k":"")");
        return record("\"k\":\"" + std::string(size - rest.size(), 'x') + "\"");
    };
    EXPECT_EQ(decode(of_size(kMaxRecordBytes)), Malformed::kNone);
    EXPECT_EQ(std::get<std::string>(decode.key()[0]).size(), kMaxRecordBytes - record(R"("k":"")").size());
    EXPECT_EQ(decode(of_size(kMaxRecordBytes + 1)), Malformed::kTooLarge);
    EXPECT_EQ(decode(of_size(std::size_t{16} << 20)), Malformed::kTooLarge);
    EXPECT_EQ(decode(record(R"("k":1)")), Malformed::kNone);
}

}  // namespace
}  // namespace llmopt_stream
