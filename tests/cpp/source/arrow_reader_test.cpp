#include "source/arrow_reader.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <map>

#include "record/error.hpp"
#include "source/arrow_test_stream.hpp"

namespace llmopt_stream {
namespace {

using namespace arrow_test;
using Int64s = std::vector<std::int64_t>;

constexpr Timestamp k2026 = 1'767'225'600'000'000;

Node times(const Int64s& values = {k2026, k2026 + 1, k2026 + 2}) { return numbers("ts", "tsu:UTC", values); }

Schema schema_with(std::vector<std::string> keys, std::vector<ValueField> values = {}) {
    Schema schema;
    schema.time_path = "ts";
    schema.key_paths = std::move(keys);
    schema.values = std::move(values);
    return schema;
}

/// All batches of a stream, joined.
struct Read {
    Int64s times;
    std::vector<std::vector<KeyValue>> labels;
    std::vector<std::vector<KeyValue>> keys;
    std::vector<std::vector<double>> float64;
    std::vector<std::vector<std::optional<std::int64_t>>> int64;
    std::vector<std::uint32_t> input_index;
    std::vector<std::size_t> batch_sizes;
    std::map<Malformed, std::uint64_t> malformed;
    std::optional<std::int64_t> suspicious_time;
    std::size_t records_before_suspicious = 0;

    [[nodiscard]] std::vector<KeyValue> first_fields() const {
        std::vector<KeyValue> fields;
        for (const auto& key : keys) {
            fields.push_back(key.at(0));
        }
        return fields;
    }
};

Schema schema_with_labels(std::vector<std::string> labels) {
    Schema schema = schema_with({});
    schema.labels = std::move(labels);
    return schema;
}

Read read_all(std::vector<Node> tables, const Schema& schema) {
    ArrowArrayStream stream = stream_of(std::move(tables));
    ArrowReader reader(&stream, schema);
    EXPECT_EQ(stream.release, nullptr);
    Read read;
    read.float64.resize(schema.values.size());
    read.int64.resize(schema.values.size());
    read.labels.resize(schema.labels.size());
    RecordBatch batch;
    while (reader.next(batch)) {
        read.times.insert(read.times.end(), batch.event_time.begin(), batch.event_time.end());
        read.batch_sizes.push_back(batch.input_records);
        read.input_index.insert(read.input_index.end(), batch.input_index.begin(), batch.input_index.end());
        for (std::size_t i = 0; i < batch.size; ++i) {
            read.keys.push_back(key_encoding::decode(batch.keys->key(batch.key[i])));
            for (std::size_t c = 0; c < batch.values.size(); ++c) {
                const ValueColumn& column = batch.values[c];
                EXPECT_EQ(column.type, reader.value_types()[c].value_or(FieldType::kFloat64));
                if (column.type == FieldType::kFloat64) {
                    read.float64[c].push_back(column.float64[i]);
                } else {
                    const bool present = column.present.empty() || column.present[i] != 0;
                    read.int64[c].push_back(present ? std::optional(column.int64[i]) : std::nullopt);
                }
            }
        }
        for (std::size_t c = 0; c < batch.labels.size(); ++c) {
            for (const std::uint32_t code : batch.labels[c].code) {
                read.labels[c].push_back(key_encoding::decode(batch.labels[c].values->key(code)).at(0));
            }
        }
        for (std::size_t i = 0; i < kMalformedKinds; ++i) {
            if (reader.malformed()[i] > 0) {
                read.malformed[static_cast<Malformed>(i)] += reader.malformed()[i];
            }
        }
        if (reader.suspicious_time() != nullptr) {
            read.suspicious_time = *reader.suspicious_time();
            read.records_before_suspicious = reader.records_before_suspicious();
        }
    }
    return read;
}

std::string error_of(std::vector<Node> tables, const Schema& schema, ErrorKind kind) {
    try {
        (void)read_all(std::move(tables), schema);
    } catch (const Error& error) {
        EXPECT_EQ(error.kind(), kind) << error.what();
        return error.what();
    }
    return "no error";
}

std::vector<KeyValue> text_keys(std::initializer_list<const char*> values) {
    std::vector<KeyValue> keys;
    for (const char* value : values) {
        keys.push_back(value == nullptr ? KeyValue{} : KeyValue{std::string(value)});
    }
    return keys;
}

TEST(ArrowReader, ViewsTimesAndFloatsInPlace) {
    ArrowArrayStream stream = stream_of({table({times(), numbers<double>("v", "g", {1, 2, 3})})});
    ArrowReader reader(&stream, schema_with({}, {{"v"}}));
    RecordBatch batch;
    ASSERT_TRUE(reader.next(batch));
    EXPECT_EQ(batch.size, 3U);
    EXPECT_EQ(batch.event_time[2], k2026 + 2);
    EXPECT_EQ(batch.values[0].float64[2], 3);
    EXPECT_TRUE(batch.input_index.empty());
    EXPECT_EQ(batch.keys->size(), 1U);
    EXPECT_EQ(batch.keys->key(batch.key[0]), "");
    EXPECT_FALSE(reader.next(batch));
    EXPECT_FALSE(reader.next(batch));
}

TEST(ArrowReader, ABatchLivesAsLongAsItsOwner) {
    RecordBatch kept;
    {
        ArrowArrayStream stream = stream_of({table({times({k2026}), texts("k", {"a"})}),  //
                                             table({times({k2026 + 9}), texts("k", {"b"})})});
        ArrowReader reader(&stream, schema_with({"k"}));
        ASSERT_TRUE(reader.next(kept));
        RecordBatch next;
        ASSERT_TRUE(reader.next(next));
        EXPECT_EQ(next.event_time[0], k2026 + 9);
        EXPECT_EQ(live_structs, 10);  // the stream, its schema of 3, two arrays of 3
    }
    EXPECT_EQ(kept.event_time[0], k2026);
    EXPECT_EQ(key_encoding::decode(kept.keys->key(kept.key[0])), text_keys({"a"}));
    kept = {};
    EXPECT_EQ(live_structs, 0);
}

TEST(ArrowReader, ReleasesTheStreamWhenTheSchemaDoesNotFit) {
    ArrowArrayStream stream = stream_of({table({times()})});
    EXPECT_THROW(ArrowReader(&stream, schema_with({"absent"})), Error);
    EXPECT_EQ(live_structs, 0);
}

TEST(ArrowReader, SkipsEmptyArraysAndCutsLargeOnes) {
    const Int64s many(ArrowReader::kMaxRows + 1, k2026);
    const Read read =
        read_all({table({times({})}), table({times(many)}), table({times({})})}, schema_with({}));
    EXPECT_EQ(read.batch_sizes, (std::vector<std::size_t>{ArrowReader::kMaxRows, 1}));
    EXPECT_EQ(read.times.size(), many.size());
}

TEST(ArrowReader, PassesOnTheErrorOfTheStream) {
    ArrowArrayStream stream = stream_of({table({times()})}, "disk on fire");
    ArrowReader reader(&stream, schema_with({}));
    RecordBatch batch;
    ASSERT_TRUE(reader.next(batch));
    try {
        (void)reader.next(batch);
        FAIL();
    } catch (const Error& error) {
        EXPECT_EQ(error.kind(), ErrorKind::kPipeline);
        EXPECT_STREQ(error.what(), "Arrow stream: disk on fire");
    }
}

// Paths --------------------------------------------------------------------------------------------

TEST(ArrowReader, FindsNestedAndFlatAndMixedPaths) {
    const Node root =
        table({times(), texts("a.b", {"flat", "flat", "flat"}),
               structs("data", {texts("model", {"x", "y", "z"}), texts("m.n", {"p", "q", "r"})}),
               structs("data.deep", {texts("k", {"s", "t", "u"})})});
    EXPECT_EQ(read_all({root}, schema_with({"a.b"})).first_fields(), text_keys({"flat", "flat", "flat"}));
    EXPECT_EQ(read_all({root}, schema_with({"data.model"})).first_fields(), text_keys({"x", "y", "z"}));
    EXPECT_EQ(read_all({root}, schema_with({"data.m.n"})).first_fields(), text_keys({"p", "q", "r"}));
    EXPECT_EQ(read_all({root}, schema_with({"data.deep.k"})).first_fields(), text_keys({"s", "t", "u"}));
}

TEST(ArrowReader, NamesTheColumnsThereAreAndTheNearest) {
    const Node root = table({times(), structs("data", {numbers<double>("latency_ms", "g", {1, 2, 3})})});
    EXPECT_EQ(error_of({root}, schema_with({}, {{"data.latncy_ms"}}), ErrorKind::kConfiguration),
              "field 'data.latncy_ms': no such column; there are: ts, data.latency_ms; did you mean "
              "'data.latency_ms'?");
    EXPECT_EQ(error_of({root}, schema_with({"region"}), ErrorKind::kConfiguration),
              "field 'region': no such column; there are: ts, data.latency_ms");
}

TEST(ArrowReader, RefusesAColumnNameThatOccursTwice) {
    const Node root = table({times(), texts("k", {"a", "b", "c"}), texts("k", {"a", "b", "c"})});
    EXPECT_EQ(error_of({root}, schema_with({"k"}), ErrorKind::kConfiguration),
              "field 'k': two columns have this name");
}

TEST(ArrowReader, RefusesTypesThatCannotServe) {
    Node list = numbers<std::int32_t>("x", "+l", {0, 0, 0, 0});
    list.children.push_back(numbers<double>("item", "g", {}));
    list.length = 3;
    EXPECT_EQ(error_of({table({times(), list})}, schema_with({"x"}), ErrorKind::kConfiguration),
              "field 'x': the column is list; a key is text, a number, a boolean, a date or a timestamp");
    EXPECT_EQ(error_of({table({times(), texts("x", {"1", "2", "3"})})}, schema_with({}, {{"x"}}),
                       ErrorKind::kConfiguration),
              "field 'x': the column is utf8; a value is an integer, a float or a decimal");
    EXPECT_EQ(error_of({table({times(), booleans("x", {true, true, true})})}, schema_with({}, {{"x"}}),
                       ErrorKind::kConfiguration),
              "field 'x': the column is bool; a value is an integer, a float or a decimal");
    EXPECT_EQ(
        error_of({table({booleans("ts", {true})})}, schema_with({}), ErrorKind::kConfiguration),
        "field 'ts': the column is bool; an event time is a timestamp, a date, a number or ISO-8601 text");
    EXPECT_EQ(error_of({numbers<double>("", "g", {1})}, schema_with({}), ErrorKind::kConfiguration),
              "Arrow stream: a table of named columns is expected; this is a stream of float64");
}

// Offsets and nulls at every level -----------------------------------------------------------------

TEST(ArrowReader, RespectsOffsetsOfTableStructAndColumn) {
    Node model = sliced(texts("model", {"-", "a", "b", std::nullopt, "d", "e"}), 1, 5);
    Node data = sliced(structs("data", {model}, {true, true, false, true, true}), 1, 4);
    Node root = sliced(table({times({1, 2, 3, 4}), data}), 1, 3);
    const Read read = read_all({root}, schema_with({"data.model"}));
    EXPECT_EQ(read.times, (Int64s{2, 3, 4}));
    // Row i of the table is row i + 1 of data, i + 2 of model, i + 3 of the texts.
    EXPECT_EQ(read.first_fields(), text_keys({nullptr, "d", "e"}));
}

TEST(ArrowReader, ANullStructMakesItsFieldsNull) {
    const Node data = structs("data",
                              {numbers<double>("v", "g", {1, 2, 3, 4}, {true, true, false, true}),
                               texts("k", {"a", "b", "c", std::nullopt})},
                              {true, false, true, true});
    const Read read = read_all({table({times({1, 2, 3, 4}), data})}, schema_with({"data.k"}, {{"data.v"}}));
    EXPECT_EQ(read.first_fields(), text_keys({"a", nullptr, "c", nullptr}));
    EXPECT_EQ(read.float64[0][0], 1);
    EXPECT_TRUE(std::isnan(read.float64[0][1]));
    EXPECT_TRUE(std::isnan(read.float64[0][2]));
    EXPECT_EQ(read.float64[0][3], 4);
}

// Times --------------------------------------------------------------------------------------------

TEST(ArrowReader, ReadsTimestampsAndDatesOfAnyUnitAsFlooredMicroseconds) {
    const auto read = [](Node column) {
        return read_all({table({std::move(column)})}, schema_with({})).times;
    };
    EXPECT_EQ(read(numbers<std::int64_t>("ts", "tss:", {-1, 2})), (Int64s{-1'000'000, 2'000'000}));
    EXPECT_EQ(read(numbers<std::int64_t>("ts", "tsm:Europe/Berlin", {-1, 2})), (Int64s{-1000, 2000}));
    EXPECT_EQ(read(numbers<std::int64_t>("ts", "tsn:", {-1, -1000, -1001, 1999})), (Int64s{-1, -1, -2, 1}));
    EXPECT_EQ(read(numbers<std::int32_t>("ts", "tdD", {-1, 1})), (Int64s{-86'400'000'000, 86'400'000'000}));
    EXPECT_EQ(read(numbers<std::int64_t>("ts", "tdm", {86'400'000})), (Int64s{86'400'000'000}));
}

TEST(ArrowReader, DropsRecordsWithoutAUsableTimeFromAllColumns) {
    const std::int64_t too_large = std::numeric_limits<std::int64_t>::max();
    const Node root = table(
        {numbers<std::int64_t>("ts", "tss:", {10, 0, too_large, 40, 50}, {true, false, true, true, true}),
         texts("k", {"a", "dropped", "dropped", "d", "e"}), numbers<double>("f", "g", {1, 2, 3, 4, 5}),
         numbers<std::int64_t>("i", "l", {1, 2, 3, 4, 5}, {true, true, true, false, true})});
    const Schema schema = schema_with({"k"}, {{"f"}, {"i"}});
    const Read read = read_all({root}, schema);
    EXPECT_EQ(read.times, (Int64s{10'000'000, 40'000'000, 50'000'000}));
    EXPECT_EQ(read.first_fields(), text_keys({"a", "d", "e"}));
    EXPECT_EQ(read.float64[0], (std::vector<double>{1, 4, 5}));
    EXPECT_EQ(read.int64[1], (std::vector<std::optional<std::int64_t>>{1, std::nullopt, 5}));
    EXPECT_EQ(read.input_index, (std::vector<std::uint32_t>{0, 3, 4}));
    EXPECT_EQ(read.malformed, (std::map<Malformed, std::uint64_t>{{Malformed::kTimeMissing, 1},
                                                                  {Malformed::kTimeInvalid, 1}}));

    ArrowArrayStream stream = stream_of({root});
    ArrowReader reader(&stream, schema);
    RecordBatch batch;
    ASSERT_TRUE(reader.next(batch));
    EXPECT_EQ(batch.keys->size(), 3U);
}

TEST(ArrowReader, IntegersWithoutAUnitBefore1990AreSuspicious) {
    const Int64s counts{k2026, 631'152'000'000'000, 631'151'999'999'999, 253'402'300'800'000'000, 7};
    const Read read = read_all({table({numbers("ts", "l", counts)})}, schema_with({}));
    EXPECT_EQ(read.times, (Int64s{k2026, 631'152'000'000'000}));
    EXPECT_EQ(read.malformed.at(Malformed::kTimeInvalid), 3U);
    EXPECT_EQ(read.suspicious_time, 631'151'999'999'999);
    EXPECT_EQ(read.records_before_suspicious, 2U);

    Schema schema = schema_with({});
    schema.time_unit = TimeUnit::kMicrosecond;
    EXPECT_EQ(read_all({table({numbers("ts", "l", counts)})}, schema).times, counts);
}

TEST(ArrowReader, NumbersCountTheUnitOfTheSchema) {
    Schema schema = schema_with({});
    schema.time_unit = TimeUnit::kMillisecond;
    EXPECT_EQ(read_all({table({numbers<std::int32_t>("ts", "i", {-5, 5})})}, schema).times,
              (Int64s{-5000, 5000}));
    const Read floats = read_all({table({numbers<double>("ts", "g", {1.0006, NAN, HUGE_VAL})})}, schema);
    EXPECT_EQ(floats.times, (Int64s{1001}));
    EXPECT_EQ(floats.malformed.at(Malformed::kTimeInvalid), 2U);
    schema.time_unit = TimeUnit::kSecond;
    EXPECT_EQ(read_all({table({numbers<std::uint64_t>("ts", "L", {~0ULL, 3})})}, schema).times,
              (Int64s{3'000'000}));
}

TEST(ArrowReader, ReadsTextTimesAlsoThroughADictionary) {
    const Node plain = texts("ts", {"2026-01-01", "soon", std::nullopt, "2026-01-01 00:00:00.5+00:00"});
    const Node views = text_views("ts", {"2026-01-01", "soon", std::nullopt, "2026-01-01 00:00:00.5+00:00"});
    const Node encoded =
        dictionary_encoded(numbers<std::int8_t>("ts", "c", {1, 0, 9, 2}, {true, true, false, true}),
                           texts("", {"soon", "2026-01-01", "2026-01-01 00:00:00.5+00:00"}));
    for (const Node& column : {plain, views, encoded}) {
        const Read read = read_all({table({column})}, schema_with({}));
        EXPECT_EQ(read.times, (Int64s{k2026, k2026 + 500'000}));
        EXPECT_EQ(read.malformed, (std::map<Malformed, std::uint64_t>{{Malformed::kTimeMissing, 1},
                                                                      {Malformed::kTimeInvalid, 1}}));
    }
}

// Values -------------------------------------------------------------------------------------------

TEST(ArrowReader, IntegersKeepTheirTypeUnlessItIsDeclared) {
    const Node root =
        table({times(), numbers<std::int16_t>("i", "s", {-1, 2, 3}, {true, false, true}),
               numbers<std::uint64_t>("u", "L", {1, 2, 1ULL << 63}), numbers<float>("f", "f", {0.5F, 2, 3})});
    const Read by_default = read_all({root}, schema_with({}, {{"i"}, {"u"}, {"f"}}));
    EXPECT_EQ(by_default.int64[0], (std::vector<std::optional<std::int64_t>>{-1, std::nullopt, 3}));
    EXPECT_EQ(by_default.float64[1], (std::vector<double>{1, 2, 0x1p63}));
    EXPECT_EQ(by_default.float64[2], (std::vector<double>{0.5, 2, 3}));

    const Read declared = read_all({root}, schema_with({}, {{"i", FieldType::kFloat64, true},
                                                            {"u", FieldType::kInt64, true},
                                                            {"f", FieldType::kInt64, true}}));
    EXPECT_EQ(declared.float64[0][0], -1);
    EXPECT_TRUE(std::isnan(declared.float64[0][1]));
    EXPECT_EQ(declared.int64[1], (std::vector<std::optional<std::int64_t>>{1, 2, std::nullopt}));
    EXPECT_EQ(declared.int64[2], (std::vector<std::optional<std::int64_t>>{std::nullopt, 2, 3}));
}

TEST(ArrowReader, ReadsHalfFloatsDecimalsNullsAndDictionariesAsNumbers) {
    // float16: 1.5, -2, the smallest subnormal. Decimals: 1.25, -0.01, 10^20.
    const Node root =
        table({times(), numbers<std::uint16_t>("half", "e", {0x3E00, 0xC000, 0x0001}),
               numbers<std::int64_t>("decimal", "d:38,2", {125, 0, -1, -1, 1'864'712'049'423'024'128, 542}),
               nulls("null", 3),
               dictionary_encoded(numbers<std::uint8_t>("encoded", "C", {1, 0, 1}),
                                  numbers<double>("", "g", {7, 8}))});
    Node decimal = root.children[2];
    decimal.length = 3;
    Node fixed = root;
    fixed.children[2] = decimal;
    const Read read = read_all({fixed}, schema_with({}, {{"half"}, {"decimal"}, {"null"}, {"encoded"}}));
    EXPECT_EQ(read.float64[0], (std::vector<double>{1.5, -2, 0x1p-24}));
    EXPECT_EQ(read.float64[1], (std::vector<double>{1.25, -0.01, 1e20}));
    EXPECT_TRUE(std::isnan(read.float64[2][0]));
    EXPECT_EQ(read.float64[3], (std::vector<double>{8, 7, 8}));
}

TEST(ArrowReader, ADeclaredIntegerTakesWholeDecimalsExactly) {
    // 9007199254740993.00 is no double; 1.50 is no integer.
    const std::int64_t exact = 9'007'199'254'740'993;
    Node decimal = numbers<std::int64_t>("d", "d:38,2", {exact * 100, 0, 150, 0});
    decimal.length = 2;
    const Read read =
        read_all({table({times({1, 2}), decimal})}, schema_with({}, {{"d", FieldType::kInt64, true}}));
    EXPECT_EQ(read.int64[0], (std::vector<std::optional<std::int64_t>>{exact, std::nullopt}));
}

// Keys ---------------------------------------------------------------------------------------------

TEST(ArrowReader, TextKeysAreTheSameInEveryLayout) {
    const Texts values{"a",
                       "",
                       std::nullopt,
                       "exactly12byt",
                       "thirteen byte",
                       "sixteen bytes ok",
                       "seventeen bytes 1",
                       "seventeen bytes 2",
                       "a",
                       "seventeen bytes 1",
                       std::nullopt,
                       "sixteen bytes ok"};
    const Int64s at(values.size(), k2026);
    std::vector<KeyValue> expected;
    for (const auto& value : values) {
        expected.push_back(value ? KeyValue{*value} : KeyValue{});
    }
    for (const Node& column :
         {texts("k", values), texts<std::int64_t>("k", values), text_views("k", values)}) {
        EXPECT_EQ(read_all({table({times(at), column})}, schema_with({"k"})).first_fields(), expected)
            << column.format;
    }
}

TEST(ArrowReader, KeysBeyondWhatIsRememberedAreStillRight) {
    Texts values;
    Int64s at;
    for (int round = 0; round < 2; ++round) {
        for (int i = 0; i < 20'000; ++i) {
            values.push_back((i % 2 == 0 ? "k" : "a key of more than sixteen bytes ") + std::to_string(i));
            at.push_back(k2026);
        }
    }
    ArrowArrayStream stream = stream_of({table({times(at), texts("k", values)})});
    ArrowReader reader(&stream, schema_with({"k"}));
    RecordBatch batch;
    ASSERT_TRUE(reader.next(batch));
    EXPECT_EQ(batch.keys->size(), 20'000U);
    for (std::size_t i = 0; i < batch.size; ++i) {
        std::string encoded;
        key_encoding::append_text(encoded, *values[i]);
        ASSERT_EQ(batch.keys->key(batch.key[i]), encoded);
    }
}

TEST(ArrowReader, NumberKeysAreEqualWhateverTheirType) {
    const Node root =
        table({times(), numbers<std::int8_t>("i8", "c", {1, -1, 1}),
               numbers<std::uint64_t>("u64", "L", {1, ~0ULL, 1}), numbers<double>("f", "g", {1.0, 0.5, 1.0}),
               booleans("b", {true, false, true}, {true, true, false}), nulls("n", 3)});
    EXPECT_EQ(read_all({root}, schema_with({"i8"})).first_fields(),
              (std::vector<KeyValue>{std::int64_t{1}, std::int64_t{-1}, std::int64_t{1}}));
    EXPECT_EQ(read_all({root}, schema_with({"u64"})).first_fields(),
              (std::vector<KeyValue>{std::int64_t{1}, ~std::uint64_t{0}, std::int64_t{1}}));
    EXPECT_EQ(read_all({root}, schema_with({"f"})).first_fields(),
              (std::vector<KeyValue>{std::int64_t{1}, 0.5, std::int64_t{1}}));
    EXPECT_EQ(read_all({root}, schema_with({"b"})).first_fields(),
              (std::vector<KeyValue>{true, false, KeyValue{}}));
    EXPECT_EQ(read_all({root}, schema_with({"n"})).first_fields(),
              (std::vector<KeyValue>{KeyValue{}, KeyValue{}, KeyValue{}}));
}

TEST(ArrowReader, TimeKeysAreText) {
    const Node root =
        table({times(), numbers<std::int64_t>("t", "tsn:", {1500, -1, 0}, {true, true, false}),
               numbers<std::int32_t>("d", "tdD", {1, std::numeric_limits<std::int32_t>::max(), 0})});
    EXPECT_EQ(read_all({root}, schema_with({"t"})).first_fields(),
              text_keys({"1970-01-01T00:00:00.000001+00:00", "1969-12-31T23:59:59.999999+00:00", nullptr}));
    EXPECT_EQ(read_all({root}, schema_with({"d"})).first_fields(),
              text_keys({"1970-01-02", nullptr, "1970-01-01"}));
}

TEST(ArrowReader, DictionaryKeysInternOnlyUsedEntriesAndJoinEqualOnes) {
    const Node indices =
        numbers<std::int8_t>("k", "c", {3, 0, 1, 3, 0, 4}, {true, true, true, true, false, true});
    const Node root =
        table({times(Int64s(6, k2026)),
               dictionary_encoded(indices, texts("", {"a", std::nullopt, "unused", "b", "a"}))});
    ArrowArrayStream stream = stream_of({root, root});
    ArrowReader reader(&stream, schema_with({"k"}));
    RecordBatch batch;
    for (int i = 0; i < 2; ++i) {
        ASSERT_TRUE(reader.next(batch));
        std::vector<KeyValue> keys;
        for (const std::uint32_t key : batch.key) {
            keys.push_back(key_encoding::decode(batch.keys->key(key)).at(0));
        }
        EXPECT_EQ(keys, text_keys({"b", "a", nullptr, "b", nullptr, "a"}));
        EXPECT_EQ(batch.keys->size(), 3U);
    }
}

TEST(ArrowReader, ADictionaryMayChangeFromArrayToArray) {
    const auto array = [](Texts entries) {
        return table({times({k2026, k2026}),
                      dictionary_encoded(numbers<std::uint32_t>("k", "I", {0, 1}), texts("", entries))});
    };
    EXPECT_EQ(read_all({array({"a", "b"}), array({"b", "c"})}, schema_with({"k"})).first_fields(),
              text_keys({"a", "b", "b", "c"}));
}

TEST(ArrowReader, SeveralKeyColumnsFormTuples) {
    // Few distinct pairs are counted in a table, many are hashed: both must give the same.
    for (const std::size_t distinct : {std::size_t{3}, std::size_t{700}}) {
        Texts left;
        std::vector<std::int64_t> right;
        std::vector<bool> third;
        const std::size_t rows = 3000;
        for (std::size_t i = 0; i < rows; ++i) {
            left.push_back("k" + std::to_string(i % distinct));
            right.push_back(static_cast<std::int64_t>(i % (distinct - 1)));
            third.push_back(i % 2 == 0);
        }
        const Read read = read_all({table({times(Int64s(rows, k2026)), texts("l", left),
                                           numbers("r", "l", right), booleans("t", third)})},
                                   schema_with({"l", "r", "t"}));
        ASSERT_EQ(read.keys.size(), rows);
        for (std::size_t i = 0; i < rows; ++i) {
            ASSERT_EQ(read.keys[i], (std::vector<KeyValue>{*left[i], right[i], static_cast<bool>(third[i])}));
        }
    }
}

TEST(ArrowReader, DropsRecordsWhoseKeyIsNoUtf8) {
    const Node root =
        table({times({1, 2, 3}), texts("k", {"a", "\xFF", "c"}), texts("l", {"x", "x", "y"}),
               dictionary_encoded(numbers<std::int32_t>("d", "i", {0, 1, 0}), texts("", {"a", "\xC0"})),
               numbers<double>("v", "g", {1, 2, 3})});
    for (const std::vector<std::string>& keys :
         {std::vector<std::string>{"k"}, {"k", "l"}, {"l", "k"}, {"d"}}) {
        const Read read = read_all({root}, schema_with(keys, {{"v"}}));
        EXPECT_EQ(read.times, (Int64s{1, 3}));
        EXPECT_EQ(read.float64[0], (std::vector<double>{1, 3}));
        EXPECT_EQ(read.input_index, (std::vector<std::uint32_t>{0, 2}));
        EXPECT_EQ(read.malformed, (std::map<Malformed, std::uint64_t>{{Malformed::kBadUtf8, 1}}));
    }
}

// Labels -------------------------------------------------------------------------------------------

using Labels = std::vector<KeyValue>;

TEST(ArrowReader, LabelsAreScalarsOfAnyTypeAndNullForTheRest) {
    // Decimals: 1.25, -0.01, 0.
    Node decimal = numbers<std::int64_t>("decimal", "d:38,2", {125, 0, -1, -1, 0, 0});
    decimal.length = 3;
    const Node root =
        table({times(), texts("text", {"a", std::nullopt, "b"}), booleans("bool", {true, false, true}),
               numbers<std::int32_t>("int", "i", {7, 8, 9}, {true, false, true}),
               numbers<double>("float", "g", {1.5, HUGE_VAL, std::nan("")}), decimal, nulls("null", 3),
               dictionary_encoded(numbers<std::int8_t>("encoded", "c", {1, 0, 1}), texts("", {"x", "y"})),
               dictionary_encoded(numbers<std::int8_t>("endless", "c", {1, 0, 1}),
                                  numbers<double>("", "g", {1, HUGE_VAL})),
               texts("broken", {"a", "\xFF", "a"}), structs("inner", {texts("t", {"p", "q", "r"})})});
    const Read read =
        read_all({root}, schema_with_labels({"text", "bool", "int", "float", "decimal", "null", "encoded",
                                             "endless", "broken", "inner", "inner.t"}));
    const KeyValue null;
    EXPECT_EQ(read.labels[0], text_keys({"a", nullptr, "b"}));
    EXPECT_EQ(read.labels[1], (Labels{true, false, true}));
    EXPECT_EQ(read.labels[2], (Labels{std::int64_t{7}, null, std::int64_t{9}}));
    EXPECT_EQ(read.labels[3], (Labels{1.5, null, null}));
    EXPECT_EQ(read.labels[4], (Labels{1.25, -0.01, std::int64_t{0}}));
    EXPECT_EQ(read.labels[5], (Labels{null, null, null}));
    EXPECT_EQ(read.labels[6], text_keys({"y", "x", "y"}));
    EXPECT_EQ(read.labels[7], (Labels{null, std::int64_t{1}, null}));
    EXPECT_EQ(read.labels[8], text_keys({"a", nullptr, "a"}));
    EXPECT_EQ(read.labels[9], (Labels{null, null, null}));
    EXPECT_EQ(read.labels[10], text_keys({"p", "q", "r"}));
    EXPECT_EQ(read.malformed, (std::map<Malformed, std::uint64_t>{}));
}

TEST(ArrowReader, LabelsAreThoseOfTheRecordsThatAreKept) {
    const Node root = table({numbers<std::int64_t>("ts", "tsu:", {1, 2, 3}, {true, false, true}),
                             texts("k", {"a", "b", "\xFF"}), texts("l", {"x", "y", "z"})});
    Schema schema = schema_with({"k"}, {});
    schema.labels = {"l", "k"};
    const Read read = read_all({root, root}, schema);
    EXPECT_EQ(read.labels[0], text_keys({"x", "x"}));
    EXPECT_EQ(read.labels[1], text_keys({"a", "a"}));
}

TEST(ArrowReader, ALabelNeedsItsColumn) {
    EXPECT_EQ(error_of({table({times()})}, schema_with_labels({"sx"}), ErrorKind::kConfiguration),
              "field 'sx': no such column; there are: ts");
}

// Arrays that break their promises -----------------------------------------------------------------

TEST(ArrowReader, EmptyColumnsMayHaveNoBuffersAtAll) {
    Node empty_texts = texts("k", {});
    empty_texts.buffers = {std::nullopt, std::nullopt, std::nullopt};
    Node no_times = times({});
    no_times.buffers = {std::nullopt, std::nullopt};
    EXPECT_TRUE(read_all({table({no_times, empty_texts})}, schema_with({"k"})).times.empty());

    Node all_empty = texts("k", {"", ""});
    all_empty.buffers[2] = std::nullopt;
    EXPECT_EQ(read_all({table({times({1, 2}), all_empty})}, schema_with({"k"})).first_fields(),
              text_keys({"", ""}));
}

TEST(ArrowReader, RefusesArraysThatDoNotFitTheirSchema) {
    const Node good = table({times(), texts("k", {"a", "b", "c"})});
    const Schema schema = schema_with({"k"});
    const auto refused = [&](auto change) {
        Node bad = good;
        change(bad);
        return error_of({good, bad}, schema, ErrorKind::kPipeline);
    };
    EXPECT_EQ(refused([](Node& root) { root.children.pop_back(); }),
              "Arrow stream: field 'ts': the array has not the children of its schema");
    EXPECT_EQ(refused([](Node& root) { root.children[1].length = 2; }),
              "Arrow stream: field 'k': an array is shorter than its struct says");
    EXPECT_EQ(refused([](Node& root) { root.children[1].offset = -1; }),
              "Arrow stream: field 'k': an array is shorter than its struct says");
    EXPECT_EQ(refused([](Node& root) { root.children[1].buffers.pop_back(); }),
              "Arrow stream: field 'k': the array has a wrong number of buffers");
    EXPECT_EQ(refused([](Node& root) { root.children[0].buffers[1] = std::nullopt; }),
              "Arrow stream: field 'ts': the array has no data");
    EXPECT_EQ(refused([](Node& root) { root.children[1].buffers[1] = bytes_of<std::int32_t>({0, 2, 1, 3}); }),
              "Arrow stream: field 'k': the offsets of its texts do not ascend");
    EXPECT_EQ(refused([](Node& root) { root.length = -3; }), "Arrow stream: an array has a negative length");
    EXPECT_EQ(live_structs, 0);
}

TEST(ArrowReader, RefusesIndicesAndViewsThatPointOutside) {
    const auto error = [](Node key) {
        return error_of({table({times({1}), std::move(key)})}, schema_with({"k"}), ErrorKind::kPipeline);
    };
    EXPECT_EQ(error(dictionary_encoded(numbers<std::int8_t>("k", "c", {-1}), texts("", {"a"}))),
              "Arrow stream: field 'k': an index lies outside its dictionary");
    EXPECT_EQ(error(dictionary_encoded(numbers<std::int64_t>("k", "l", {1}), texts("", {"a"}))),
              "Arrow stream: field 'k': an index lies outside its dictionary");
    Node view = text_views("k", {"a text of more than 12 bytes"});
    view.buffers[4] = bytes_of<std::int64_t>({5, 0});
    EXPECT_EQ(error(view), "Arrow stream: field 'k': a text lies outside its data buffers");
}

}  // namespace
}  // namespace llmopt_stream
