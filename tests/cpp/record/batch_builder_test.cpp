#include "record/batch_builder.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "record/batch_part.hpp"
#include "record/key.hpp"

namespace llmopt_stream {
namespace {

constexpr std::int64_t kInt64Max = std::numeric_limits<std::int64_t>::max();
constexpr std::int64_t kInt64Min = std::numeric_limits<std::int64_t>::min();
constexpr Timestamp kNow = 1'767'225'600'000'000;

Schema schema(TimeUnit unit, std::vector<std::string> keys = {}, std::vector<ValueField> values = {}) {
    Schema schema;
    schema.time_unit = unit;
    schema.key_paths = std::move(keys);
    schema.values = std::move(values);
    return schema;
}

/// The time that one number becomes; empty if it is refused.
template <typename Number>
std::optional<Timestamp> time_of(TimeUnit unit, Number count) {
    BatchBuilder builder(schema(unit));
    builder.begin_record();
    const Malformed malformed = builder.set_time(count);
    if (malformed != Malformed::kNone) {
        EXPECT_EQ(malformed, Malformed::kTimeInvalid);
        return std::nullopt;
    }
    EXPECT_EQ(builder.end_record(), Malformed::kNone);
    return builder.batch().event_time[0];
}

TEST(BatchBuilder, IntegerTimesCountTheUnit) {
    EXPECT_EQ(time_of(TimeUnit::kSecond, std::int64_t{1'700'000'000}), 1'700'000'000'000'000);
    EXPECT_EQ(time_of(TimeUnit::kMillisecond, std::int64_t{-1}), -1'000);
    EXPECT_EQ(time_of(TimeUnit::kMicrosecond, std::int64_t{7}), 7);
    EXPECT_EQ(time_of(TimeUnit::kMicrosecond, kInt64Min), kInt64Min);
}

TEST(BatchBuilder, NanosecondsRoundDown) {
    EXPECT_EQ(time_of(TimeUnit::kNanosecond, std::int64_t{1'999}), 1);
    EXPECT_EQ(time_of(TimeUnit::kNanosecond, std::int64_t{-1}), -1);
    EXPECT_EQ(time_of(TimeUnit::kNanosecond, std::int64_t{-1'000}), -1);
    EXPECT_EQ(time_of(TimeUnit::kNanosecond, std::int64_t{-1'001}), -2);
    EXPECT_EQ(time_of(TimeUnit::kNanosecond, kInt64Min), -9'223'372'036'854'776);
}

TEST(BatchBuilder, ATimeBeyondInt64MicrosecondsIsInvalid) {
    EXPECT_EQ(time_of(TimeUnit::kSecond, kInt64Max / 1'000'000), kInt64Max / 1'000'000 * 1'000'000);
    EXPECT_EQ(time_of(TimeUnit::kSecond, kInt64Max / 1'000'000 + 1), std::nullopt);
    EXPECT_EQ(time_of(TimeUnit::kSecond, kInt64Min / 1'000'000 - 1), std::nullopt);
    EXPECT_EQ(time_of(TimeUnit::kMillisecond, kInt64Max / 1'000 + 1), std::nullopt);
    EXPECT_EQ(time_of(TimeUnit::kSecond, 1e300), std::nullopt);
    EXPECT_EQ(time_of(TimeUnit::kMicrosecond, 0x1p63), std::nullopt);
    EXPECT_EQ(time_of(TimeUnit::kMicrosecond, -0x1p63), kInt64Min);
    EXPECT_EQ(time_of(TimeUnit::kMicrosecond, std::nan("")), std::nullopt);
    EXPECT_EQ(time_of(TimeUnit::kMicrosecond, -HUGE_VAL), std::nullopt);
}

TEST(BatchBuilder, FractionalTimesRoundToTheNearestMicrosecond) {
    EXPECT_EQ(time_of(TimeUnit::kSecond, 1700000000.123), 1'700'000'000'123'000);
    EXPECT_EQ(time_of(TimeUnit::kSecond, 1700000000.123456), 1'700'000'000'123'456);
    EXPECT_EQ(time_of(TimeUnit::kMillisecond, 0.0016), 2);
    EXPECT_EQ(time_of(TimeUnit::kMillisecond, -0.0016), -2);
    EXPECT_EQ(time_of(TimeUnit::kNanosecond, 1'400.0), 1);
}

TEST(BatchBuilder, WithoutAUnitTimesOutside1990To9999AreInvalid) {
    EXPECT_EQ(time_of(TimeUnit::kUnspecified, std::int64_t{631'151'999'999'999}), std::nullopt);
    EXPECT_EQ(time_of(TimeUnit::kUnspecified, std::int64_t{631'152'000'000'000}), 631'152'000'000'000);
    EXPECT_EQ(time_of(TimeUnit::kUnspecified, std::int64_t{253'402'300'799'999'999}),
              253'402'300'799'999'999);
    EXPECT_EQ(time_of(TimeUnit::kUnspecified, std::int64_t{253'402'300'800'000'000}), std::nullopt);
    EXPECT_EQ(time_of(TimeUnit::kUnspecified, 1.7e15), 1'700'000'000'000'000);
    EXPECT_EQ(time_of(TimeUnit::kUnspecified, 1.7e9), std::nullopt);
}

TEST(BatchBuilder, RemembersTheFirstTimeBefore1990AndWhereItWas) {
    BatchBuilder builder(schema(TimeUnit::kUnspecified));
    const auto add = [&](std::int64_t time) {
        builder.begin_record();
        const Malformed malformed = builder.set_time(time);
        malformed == Malformed::kNone ? static_cast<void>(builder.end_record()) : builder.reject(malformed);
    };
    add(kNow);
    add(kInt64Max);
    EXPECT_EQ(builder.suspicious_time(), nullptr);
    add(kNow);
    add(1'700'000'000);
    add(-5);
    ASSERT_NE(builder.suspicious_time(), nullptr);
    EXPECT_EQ(*builder.suspicious_time(), 1'700'000'000);
    EXPECT_EQ(builder.records_before_suspicious(), 2U);
    builder.clear();
    EXPECT_EQ(builder.suspicious_time(), nullptr);
}

TEST(BatchBuilder, TextAndMicrosecondsIgnoreTheUnit) {
    BatchBuilder builder(schema(TimeUnit::kSecond));
    builder.begin_record();
    EXPECT_EQ(builder.set_time_text("1970-01-01T00:00:01Z"), Malformed::kNone);
    EXPECT_EQ(builder.end_record(), Malformed::kNone);
    builder.begin_record();
    EXPECT_EQ(builder.set_time_micros(-3), Malformed::kNone);
    EXPECT_EQ(builder.end_record(), Malformed::kNone);
    builder.begin_record();
    EXPECT_EQ(builder.set_time_text("yesterday"), Malformed::kTimeInvalid);
    builder.reject(Malformed::kTimeInvalid);
    EXPECT_EQ(builder.batch().event_time[0], 1'000'000);
    EXPECT_EQ(builder.batch().event_time[1], -3);
}

TEST(BatchBuilder, FieldsSetTwiceAreDuplicates) {
    BatchBuilder builder(schema(TimeUnit::kMicrosecond, {"k"}, {{"v"}, {"i", FieldType::kInt64}}));
    builder.begin_record();
    EXPECT_EQ(builder.set_time(std::int64_t{1}), Malformed::kNone);
    EXPECT_EQ(builder.set_time_text("2026-01-01"), Malformed::kDuplicateField);
    EXPECT_EQ(builder.set_value(0, 1.0), Malformed::kNone);
    EXPECT_EQ(builder.set_value(0, std::int64_t{1}), Malformed::kDuplicateField);
    EXPECT_EQ(builder.set_value_unusable(1), Malformed::kNone);
    EXPECT_EQ(builder.set_value(1, 1.0), Malformed::kDuplicateField);
    EXPECT_EQ(builder.set_key_null(0), Malformed::kNone);
    EXPECT_EQ(builder.set_key(0, "a"), Malformed::kDuplicateField);
    builder.reject(Malformed::kDuplicateField);
    EXPECT_EQ(builder.batch().size, 0U);
    EXPECT_EQ(builder.malformed()[static_cast<std::size_t>(Malformed::kDuplicateField)], 1U);
}

TEST(BatchBuilder, FloatColumnsKeepNumbersAndMarkTheRestWithNan) {
    BatchBuilder builder(schema(TimeUnit::kMicrosecond, {}, {{"v"}}));
    const auto begin = [&] {
        builder.begin_record();
        ASSERT_EQ(builder.set_time(std::int64_t{0}), Malformed::kNone);
    };
    begin();
    EXPECT_EQ(builder.set_value(0, std::int64_t{-7}), Malformed::kNone);
    EXPECT_EQ(builder.end_record(), Malformed::kNone);
    begin();
    EXPECT_EQ(builder.set_value(0, -HUGE_VAL), Malformed::kNone);
    EXPECT_EQ(builder.end_record(), Malformed::kNone);
    begin();
    EXPECT_EQ(builder.set_value_unusable(0), Malformed::kNone);
    EXPECT_EQ(builder.end_record(), Malformed::kNone);
    begin();
    EXPECT_EQ(builder.end_record(), Malformed::kNone);
    const RecordBatch batch = builder.batch();
    ASSERT_EQ(batch.values[0].float64.size(), 4U);
    EXPECT_EQ(batch.values[0].float64[0], -7.0);
    EXPECT_EQ(batch.values[0].float64[1], -HUGE_VAL);
    EXPECT_TRUE(std::isnan(batch.values[0].float64[2]));
    EXPECT_TRUE(std::isnan(batch.values[0].float64[3]));
}

TEST(BatchBuilder, IntegerColumnsTakeIntegersInWhateverForm) {
    BatchBuilder builder(schema(TimeUnit::kMicrosecond, {}, {{"i", FieldType::kInt64}}));
    const auto add = [&](auto value) {
        builder.begin_record();
        ASSERT_EQ(builder.set_time(std::int64_t{0}), Malformed::kNone);
        ASSERT_EQ(builder.set_value(0, value), Malformed::kNone);
        ASSERT_EQ(builder.end_record(), Malformed::kNone);
    };
    add(kInt64Max);
    add(-0x1p63);
    EXPECT_TRUE(builder.batch().values[0].present.empty());
    add(0x1p63);
    add(1.5);
    add(std::nan(""));
    add(3.0);
    const ValueColumn column = builder.batch().values[0];
    EXPECT_EQ(std::vector(column.present.begin(), column.present.end()),
              (std::vector<std::uint8_t>{1, 1, 0, 0, 0, 1}));
    EXPECT_EQ(column.int64[0], kInt64Max);
    EXPECT_EQ(column.int64[1], kInt64Min);
    EXPECT_EQ(column.int64[5], 3);
    builder.clear();
    add(3.0);
    EXPECT_TRUE(builder.batch().values[0].present.empty());
}

TEST(BatchBuilder, ARejectedRecordLeavesNothingBehind) {
    BatchBuilder builder(schema(TimeUnit::kMicrosecond, {"k"}, {{"i", FieldType::kInt64}}));
    builder.begin_record();
    EXPECT_EQ(builder.set_value(0, 1.5), Malformed::kNone);
    EXPECT_EQ(builder.set_key(0, "gone"), Malformed::kNone);
    builder.reject(Malformed::kSyntax);
    builder.begin_record();
    EXPECT_EQ(builder.set_time(std::int64_t{5}), Malformed::kNone);
    EXPECT_EQ(builder.set_value(0, std::int64_t{2}), Malformed::kNone);
    EXPECT_EQ(builder.end_record(), Malformed::kNone);
    const RecordBatch batch = builder.batch();
    EXPECT_EQ(batch.size, 1U);
    EXPECT_EQ(batch.input_records, 2U);
    EXPECT_EQ(batch.input_index[0], 1U);
    EXPECT_TRUE(batch.values[0].present.empty());
    ASSERT_EQ(batch.keys->size(), 1U);
    EXPECT_EQ(key_encoding::decode(batch.keys->key(0)), std::vector<KeyValue>{std::monostate{}});
}

TEST(BatchBuilder, InputIndexIsEmptyUntilARecordIsRejected) {
    BatchBuilder builder(schema(TimeUnit::kMicrosecond));
    const auto add = [&](bool good) {
        builder.begin_record();
        if (good) {
            ASSERT_EQ(builder.set_time(std::int64_t{0}), Malformed::kNone);
        }
        EXPECT_EQ(builder.end_record(), good ? Malformed::kNone : Malformed::kTimeMissing);
    };
    add(true);
    add(true);
    EXPECT_TRUE(builder.batch().input_index.empty());
    add(false);
    add(true);
    add(false);
    add(false);
    add(true);
    const RecordBatch batch = builder.batch();
    EXPECT_EQ(std::vector(batch.input_index.begin(), batch.input_index.end()),
              (std::vector<std::uint32_t>{0, 1, 3, 6}));
    EXPECT_EQ(builder.malformed()[static_cast<std::size_t>(Malformed::kTimeMissing)], 3U);
    builder.clear();
    add(true);
    EXPECT_TRUE(builder.batch().input_index.empty());
    EXPECT_EQ(builder.batch().input_records, 1U);
}

TEST(BatchBuilder, KeysAreTheFieldsInSchemaOrderWhateverOrderTheyWereSetIn) {
    BatchBuilder builder(schema(TimeUnit::kMicrosecond, {"a", "b", "c"}));
    const auto begin = [&] {
        builder.begin_record();
        ASSERT_EQ(builder.set_time(std::int64_t{0}), Malformed::kNone);
    };
    begin();
    EXPECT_EQ(builder.set_key(2, true), Malformed::kNone);
    EXPECT_EQ(builder.set_key(0, "x"), Malformed::kNone);
    EXPECT_EQ(builder.end_record(), Malformed::kNone);
    begin();
    EXPECT_EQ(builder.set_key(0, "x"), Malformed::kNone);
    EXPECT_EQ(builder.set_key_null(1), Malformed::kNone);
    EXPECT_EQ(builder.set_key(2, true), Malformed::kNone);
    EXPECT_EQ(builder.end_record(), Malformed::kNone);
    begin();
    EXPECT_EQ(builder.set_key(0, std::int64_t{1}), Malformed::kNone);
    EXPECT_EQ(builder.set_key(1, 2.5), Malformed::kNone);
    EXPECT_EQ(builder.set_key(2, std::numeric_limits<std::uint64_t>::max()), Malformed::kNone);
    EXPECT_EQ(builder.end_record(), Malformed::kNone);
    const RecordBatch batch = builder.batch();
    EXPECT_EQ(std::vector(batch.key.begin(), batch.key.end()), (std::vector<std::uint32_t>{0, 0, 1}));
    EXPECT_EQ(key_encoding::decode(batch.keys->key(0)),
              (std::vector<KeyValue>{std::string("x"), std::monostate{}, true}));
    EXPECT_EQ(key_encoding::decode(batch.keys->key(1)),
              (std::vector<KeyValue>{std::int64_t{1}, 2.5, std::numeric_limits<std::uint64_t>::max()}));
}

TEST(BatchBuilder, EqualNumbersAreOneKey) {
    BatchBuilder builder(schema(TimeUnit::kMicrosecond, {"k"}));
    const auto add = [&](auto value) {
        builder.begin_record();
        ASSERT_EQ(builder.set_time(std::int64_t{0}), Malformed::kNone);
        ASSERT_EQ(builder.set_key(0, value), Malformed::kNone);
        ASSERT_EQ(builder.end_record(), Malformed::kNone);
    };
    add(std::int64_t{1});
    add(1.0);
    add(std::uint64_t{1});
    add(true);
    add("1");
    const RecordBatch batch = builder.batch();
    EXPECT_EQ(std::vector(batch.key.begin(), batch.key.end()), (std::vector<std::uint32_t>{0, 0, 0, 1, 2}));
}

TEST(BatchBuilder, WithoutKeyFieldsAllRecordsShareTheEmptyKey) {
    BatchBuilder builder(schema(TimeUnit::kMicrosecond));
    for (int i = 0; i < 2; ++i) {
        builder.begin_record();
        ASSERT_EQ(builder.set_time(std::int64_t{0}), Malformed::kNone);
        ASSERT_EQ(builder.end_record(), Malformed::kNone);
    }
    const RecordBatch batch = builder.batch();
    EXPECT_EQ(batch.key[1], 0U);
    ASSERT_EQ(batch.keys->size(), 1U);
    EXPECT_EQ(batch.keys->key(0), "");
}

TEST(BatchBuilder, GrowsWithoutLosingRecords) {
    BatchBuilder builder(schema(TimeUnit::kMicrosecond, {"k"}, {{"v"}, {"i", FieldType::kInt64}}));
    for (std::int64_t i = 0; i < 1'000; ++i) {
        builder.begin_record();
        ASSERT_EQ(builder.set_time(i), Malformed::kNone);
        ASSERT_EQ(builder.set_key(0, i), Malformed::kNone);
        ASSERT_EQ(builder.set_value(0, i), Malformed::kNone);
        ASSERT_EQ(builder.set_value(1, i), Malformed::kNone);
        ASSERT_EQ(builder.end_record(), Malformed::kNone);
    }
    const RecordBatch batch = builder.batch();
    ASSERT_EQ(batch.size, 1'000U);
    for (std::int64_t i = 0; i < 1'000; ++i) {
        const auto at = static_cast<std::size_t>(i);
        EXPECT_EQ(batch.event_time[at], i);
        EXPECT_EQ(batch.values[0].float64[at], static_cast<double>(i));
        EXPECT_EQ(batch.values[1].int64[at], i);
        EXPECT_EQ(key_encoding::decode(batch.keys->key(batch.key[at])), std::vector<KeyValue>{i});
    }
}

TEST(BatchBuilder, LabelsHaveDictionariesOfTheirOwn) {
    Schema labelled = schema(TimeUnit::kMicrosecond, {"k"});
    labelled.labels = {"l", "m"};
    BatchBuilder builder(labelled);
    for (int batch = 0; batch < 2; ++batch) {
        builder.clear();
        for (std::int64_t i = 0; i < 300; ++i) {
            builder.begin_record();
            ASSERT_EQ(builder.set_time(i), Malformed::kNone);
            ASSERT_EQ(builder.set_key(0, "k"), Malformed::kNone);
            ASSERT_EQ(builder.set_label(1, i % 2 == 0 ? "even" : "odd"), Malformed::kNone);
            ASSERT_EQ(builder.set_label(1, true), Malformed::kDuplicateField);
            if (i % 3 == 0) {
                ASSERT_EQ(builder.set_label(0, i % 2 == 0 ? 0.5 : HUGE_VAL), Malformed::kNone);
            }
            if (i % 10 == 9) {
                builder.reject(Malformed::kSyntax);
            } else {
                ASSERT_EQ(builder.end_record(), Malformed::kNone);
            }
        }
        const RecordBatch built = builder.batch();
        ASSERT_EQ(built.size, 270U);
        EXPECT_EQ(built.keys->size(), 1U);
        EXPECT_EQ(built.labels[0].values->size(), 2U);
        EXPECT_EQ(built.labels[1].values->size(), 2U);
        for (std::size_t at = 0; at < built.size; ++at) {
            const std::int64_t i = built.event_time[at];
            const auto of = [&](std::size_t label) {
                return key_encoding::decode(built.labels[label].values->key(built.labels[label].code[at]))[0];
            };
            EXPECT_EQ(of(0), i % 6 == 0 ? KeyValue{0.5} : KeyValue{});
            EXPECT_EQ(of(1), KeyValue{std::string(i % 2 == 0 ? "even" : "odd")});
        }
        BatchPart part;
        const std::vector<std::uint32_t> records{7, 0};
        const RecordBatch& chosen = part.take(built, records);
        ASSERT_EQ(chosen.labels.size(), 2U);
        EXPECT_EQ(chosen.labels[1].values, built.labels[1].values);
        EXPECT_EQ(chosen.labels[1].code[0], built.labels[1].code[7]);
        EXPECT_EQ(chosen.labels[1].code[1], built.labels[1].code[0]);
    }
}

std::optional<std::size_t> unfit_column(bool is_declared, double value, bool accepted = true) {
    BatchBuilder builder(schema(TimeUnit::kMicrosecond, {}, {{"v", FieldType::kInt64, is_declared}}));
    builder.begin_record();
    EXPECT_EQ(builder.set_time(kNow), Malformed::kNone);
    EXPECT_EQ(builder.set_value(0, value), Malformed::kNone);
    if (accepted) {
        EXPECT_EQ(builder.end_record(), Malformed::kNone);
    } else {
        builder.reject(Malformed::kSyntax);
    }
    return builder.unfit_column();
}

TEST(BatchBuilder, TellsOfANumberThatDoesNotFitAnUndeclaredIntegerColumn) {
    EXPECT_EQ(unfit_column(false, 2.5), 0U);
    EXPECT_EQ(unfit_column(false, 0x1p63), 0U);
    EXPECT_EQ(unfit_column(false, 2.0), std::nullopt);
    EXPECT_EQ(unfit_column(false, std::nan("")), std::nullopt);
    EXPECT_EQ(unfit_column(false, HUGE_VAL), std::nullopt);
    EXPECT_EQ(unfit_column(false, 2.5, false), std::nullopt);
    EXPECT_EQ(unfit_column(true, 2.5), std::nullopt);
}

TEST(BatchBuilder, RecordsThatDoNotSayTheirTimeHaveTheDefaultOneWhereThereIsOne) {
    BatchBuilder builder(schema(TimeUnit::kMicrosecond, {}, {}));
    builder.set_default_time(kNow + 1);
    builder.begin_record();
    EXPECT_EQ(builder.end_record(), Malformed::kNone);
    builder.begin_record();
    EXPECT_EQ(builder.set_time_null(), Malformed::kNone);
    EXPECT_EQ(builder.end_record(), Malformed::kNone);
    builder.begin_record();
    EXPECT_EQ(builder.set_time(kNow), Malformed::kNone);
    EXPECT_EQ(builder.end_record(), Malformed::kNone);
    builder.set_default_time(std::nullopt);
    builder.begin_record();
    EXPECT_EQ(builder.set_time_null(), Malformed::kTimeMissing);
    EXPECT_EQ(builder.end_record(), Malformed::kTimeMissing);
    const RecordBatch batch = builder.batch();
    EXPECT_EQ(std::vector<Timestamp>(batch.event_time.begin(), batch.event_time.end()),
              (std::vector<Timestamp>{kNow + 1, kNow + 1, kNow}));
}

}  // namespace
}  // namespace llmopt_stream
