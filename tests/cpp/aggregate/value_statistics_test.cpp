#include "aggregate/value_statistics.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <string>
#include <vector>

namespace llmopt_stream {
namespace {

using Kind = AggregationKind;
constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
constexpr std::int64_t kMaxInt = std::numeric_limits<std::int64_t>::max();
constexpr std::int64_t kMinInt = std::numeric_limits<std::int64_t>::min();

std::vector<Aggregation> the_nine() {
    return {{Kind::kCount, 0, "count"},     {Kind::kSum, 0, "sum"},         {Kind::kAverage, 0, "average"},
            {Kind::kMin, 0, "min"},         {Kind::kMax, 0, "max"},         {Kind::kStddev, 0, "stddev"},
            {Kind::kPercentile, 50, "p50"}, {Kind::kPercentile, 95, "p95"}, {Kind::kPercentile, 99, "p99"}};
}

ValueColumn column_of(const std::vector<double>& values) {
    ValueColumn column;
    column.float64 = values;
    return column;
}
ValueColumn column_of(const std::vector<std::int64_t>& values) {
    ValueColumn column;
    column.type = FieldType::kInt64;
    column.int64 = values;
    return column;
}

constexpr Interval kMinute{0, 60'000'000};

RecordBatch batch_of(const ValueColumn& column) {
    RecordBatch batch;
    batch.values = {column};
    return batch;
}

/// One state of a metric and its pool.
class State {
public:
    explicit State(const ValueStatistics& metric) : metric_(metric), words_(metric.state_bytes() / 8) {
        metric_.create(bytes());
    }
    std::byte* bytes() { return reinterpret_cast<std::byte*>(words_.data()); }

    template <typename Value>
    std::uint64_t add(const std::vector<Value>& values) {
        return add(column_of(values), 0, values.size());
    }
    std::uint64_t add(const ValueColumn& column, std::size_t first, std::size_t size) {
        const std::vector<std::byte*> rows(size, bytes());
        return metric_.add(rows, 0, batch_of(column), first, pool_);
    }
    void merge(State& other) { metric_.merge(bytes(), other.bytes(), pool_); }
    MetricValue result(Kind kind, double percentile = 0) {
        return metric_.result(bytes(), Aggregation{kind, percentile, "x"});
    }
    double number(Kind kind, double percentile = 0) { return std::get<double>(result(kind, percentile)); }
    std::string encoded() {
        ByteWriter out;
        metric_.encode(bytes(), out);
        return out.take();
    }
    SizeClassPool& pool() { return pool_; }

private:
    const ValueStatistics& metric_;
    std::vector<std::uint64_t> words_;
    SizeClassPool pool_;
};

std::vector<double> lognormal_values(std::size_t size, std::uint64_t seed) {
    std::mt19937_64 random(seed);
    std::lognormal_distribution<double> lognormal(5, 1);
    std::vector<double> values(size);
    std::generate(values.begin(), values.end(), [&] { return lognormal(random); });
    return values;
}

TEST(ValueStatistics, TheNineStatisticsTakeOneCacheLine) {
    EXPECT_EQ(ValueStatistics(0, FieldType::kFloat64, the_nine()).state_bytes(), 64U);
    EXPECT_EQ(ValueStatistics(0, FieldType::kInt64, the_nine()).state_bytes(), 64U);
}

TEST(ValueStatistics, OnlyWhatIsAskedForIsKept) {
    const auto bytes = [](Kind kind) {
        return ValueStatistics(0, FieldType::kFloat64, {{kind, 50, "x"}}).state_bytes();
    };
    EXPECT_EQ(bytes(Kind::kCount), 8U);
    EXPECT_EQ(bytes(Kind::kSum), 24U);
    EXPECT_EQ(bytes(Kind::kAverage), 24U);
    EXPECT_EQ(bytes(Kind::kMax), 24U);
    EXPECT_EQ(bytes(Kind::kPercentile), 32U);
    EXPECT_EQ(bytes(Kind::kStddev), 56U);
}

TEST(ValueStatistics, TheDocumentedResultsOfTenTwentyThirty) {
    const ValueStatistics metric(0, FieldType::kFloat64, the_nine());
    State state(metric);
    EXPECT_EQ(state.add(std::vector<double>{10, 20, 30}), 0U);
    std::vector<ResultColumn> results;
    metric.make_result_columns(results);
    ASSERT_EQ(results.size(), 9U);
    metric.append_results(state.bytes(), kMinute, results);
    EXPECT_EQ(results[0].type, ResultType::kInt64);
    EXPECT_EQ(results[0].int64, (std::vector<std::int64_t>{3}));
    const std::vector<double> expected = {60, 20, 10, 30, 8.16496580927726, 20, 30, 30};
    for (std::size_t i = 0; i < expected.size(); ++i) {
        EXPECT_EQ(results[i + 1].float64, std::vector<double>{expected[i]}) << results[i + 1].name;
        EXPECT_EQ(results[i + 1].present, std::vector<std::uint8_t>{1});
    }
}

TEST(ValueStatistics, APaneWithoutValuesHasCountAndSumZeroAndTheRestNull) {
    for (const FieldType type : {FieldType::kFloat64, FieldType::kInt64}) {
        const ValueStatistics metric(0, type, the_nine());
        State state(metric);
        std::vector<ResultColumn> results;
        metric.make_result_columns(results);
        metric.append_results(state.bytes(), kMinute, results);
        EXPECT_EQ(results[0].int64, (std::vector<std::int64_t>{0}));
        EXPECT_EQ(results[1].present, (std::vector<std::uint8_t>{1}));
        EXPECT_EQ(
            type == FieldType::kInt64 ? static_cast<double>(results[1].int64[0]) : results[1].float64[0],
            0.0);
        for (std::size_t i = 2; i < results.size(); ++i) {
            EXPECT_EQ(results[i].present, (std::vector<std::uint8_t>{0})) << results[i].name;
            EXPECT_EQ(results[i].size(), 1U);
        }
    }
}

TEST(ValueStatistics, NullsAndValuesThatAreNotFiniteAreSkippedAndCounted) {
    const ValueStatistics floats(0, FieldType::kFloat64, the_nine());
    State state(floats);
    EXPECT_EQ(state.add(std::vector<double>{1, kNaN, kInfinity, 2, -kInfinity, 3}), 3U);
    EXPECT_EQ(floats.count(state.bytes()), 3U);
    EXPECT_EQ(state.number(Kind::kSum), 6.0);
    EXPECT_EQ(state.number(Kind::kPercentile, 100), 3.0);

    const ValueStatistics ints(0, FieldType::kInt64, the_nine());
    State int_state(ints);
    const std::vector<std::int64_t> values = {1, 99, 2, 99};
    const std::vector<std::uint8_t> present = {1, 0, 1, 0};
    ValueColumn column = column_of(values);
    column.present = present;
    EXPECT_EQ(int_state.add(column, 0, 4), 2U);
    EXPECT_EQ(std::get<std::int64_t>(int_state.result(Kind::kSum)), 3);
    EXPECT_EQ(std::get<std::int64_t>(int_state.result(Kind::kMax)), 2);
}

TEST(ValueStatistics, SkippedValuesDoNotShiftTheRowsOfOthers) {
    const ValueStatistics metric(0, FieldType::kFloat64, {{Kind::kSum, 0, "sum"}});
    State a(metric);
    State b(metric);
    SizeClassPool pool;
    const std::vector<double> values = {100, 1, kNaN, 2, 4, kNaN, 8};
    const std::vector<std::byte*> rows = {a.bytes(), a.bytes(), b.bytes(), a.bytes(), b.bytes(), b.bytes()};
    EXPECT_EQ(metric.add(rows, 0, batch_of(column_of(values)), 1, pool), 2U);
    EXPECT_EQ(a.number(Kind::kSum), 5.0);
    EXPECT_EQ(b.number(Kind::kSum), 10.0);
}

TEST(ValueStatistics, NegativeZeroCountsAsZero) {
    const ValueStatistics metric(0, FieldType::kFloat64, the_nine());
    State state(metric);
    state.add(std::vector<double>{-0.0});
    EXPECT_FALSE(std::signbit(state.number(Kind::kMin)));
    EXPECT_FALSE(std::signbit(state.number(Kind::kSum)));
    EXPECT_FALSE(std::signbit(state.number(Kind::kPercentile, 50)));
}

TEST(ValueStatistics, StddevOfOneValueIsZeroAndItsSampleVariantNull) {
    const ValueStatistics metric(0, FieldType::kFloat64,
                                 {{Kind::kStddev, 0, "s"}, {Kind::kStddevSample, 0, "ss"}});
    State state(metric);
    state.add(std::vector<double>{0.1});
    EXPECT_EQ(state.number(Kind::kStddev), 0.0);
    EXPECT_TRUE(std::holds_alternative<std::monostate>(state.result(Kind::kStddevSample)));
    state.add(std::vector<double>{0.3});
    EXPECT_NEAR(state.number(Kind::kStddev), 0.1, 1e-15);
    EXPECT_NEAR(state.number(Kind::kStddevSample), 0.14142135623730951, 1e-15);
}

TEST(ValueStatistics, EqualValuesHaveTheirAverageAndNoDeviation) {
    const ValueStatistics metric(0, FieldType::kFloat64, the_nine());
    State state(metric);
    state.add(std::vector<double>(1'000'003, 0.1));
    EXPECT_EQ(state.number(Kind::kAverage), 0.1);
    EXPECT_EQ(state.number(Kind::kStddev), 0.0);
    EXPECT_EQ(state.number(Kind::kPercentile, 50), 0.1);
}

TEST(ValueStatistics, HugeValuesSumToInfinityWithoutBecomingNaN) {
    const ValueStatistics metric(0, FieldType::kFloat64, the_nine());
    State state(metric);
    for (int i = 0; i < 100; ++i) {
        state.add(std::vector<double>{1e308, 1.2e308});
    }
    EXPECT_EQ(state.number(Kind::kSum), kInfinity);
    EXPECT_EQ(state.number(Kind::kAverage), kInfinity);
    EXPECT_EQ(state.number(Kind::kStddev), kInfinity);
    EXPECT_EQ(state.number(Kind::kMax), 1.2e308);
    EXPECT_EQ(state.number(Kind::kPercentile, 100), 1.2e308);
    EXPECT_NEAR(state.number(Kind::kPercentile, 75), 1.2e308, 1.2e306);
    EXPECT_NEAR(state.number(Kind::kPercentile, 50), 1e308, 1e306);
}

TEST(ValueStatistics, SumsOfIntegersAreExactBeyondSixtyFourBits) {
    const ValueStatistics metric(0, FieldType::kInt64, the_nine());
    State state(metric);
    state.add(std::vector<std::int64_t>{kMaxInt, kMaxInt, kMaxInt, kMinInt, kMinInt, 1});
    EXPECT_EQ(std::get<std::int64_t>(state.result(Kind::kSum)), kMaxInt - 1);
    EXPECT_EQ(std::get<std::int64_t>(state.result(Kind::kMin)), kMinInt);
    EXPECT_EQ(std::get<std::int64_t>(state.result(Kind::kMax)), kMaxInt);
}

TEST(ValueStatistics, AnIntegerSumThatLeavesSixtyFourBitsNamesItsResult) {
    const ValueStatistics metric(
        0, FieldType::kInt64,
        {{Kind::kCount, 0, "n"}, {Kind::kSum, 0, "cost_sum"}, {Kind::kAverage, 0, "a"}});
    State state(metric);
    state.add(std::vector<std::int64_t>{kMaxInt});
    EXPECT_EQ(std::get<std::int64_t>(state.result(Kind::kSum)), kMaxInt);
    state.add(std::vector<std::int64_t>{1});
    EXPECT_EQ(state.number(Kind::kAverage), 0x1p62);
    std::vector<ResultColumn> results;
    metric.make_result_columns(results);
    try {
        metric.append_results(state.bytes(), kMinute, results);
        FAIL() << "an overflow was not noticed";
    } catch (const Error& error) {
        EXPECT_EQ(error.kind(), ErrorKind::kAggregation);
        EXPECT_NE(std::string(error.what()).find("cost_sum"), std::string::npos);
    }
    EXPECT_EQ(results[0].size(), 0U);
}

TEST(ValueStatistics, StddevOfLargeIntegersIsExactWhereDoublesWouldRoundThem) {
    const ValueStatistics metric(0, FieldType::kInt64, {{Kind::kStddev, 0, "s"}});
    const std::int64_t base = std::int64_t{1} << 60;
    State state(metric);
    state.add(std::vector<std::int64_t>{base + 1, base + 3, base + 5, base + 7, base + 9});
    // Five squares of 61 bits need 125 bits; the spread bounds what rounding leaves.
    EXPECT_GE(state.number(Kind::kStddev), 8 / std::sqrt(10.0) * 0.999);
    EXPECT_LE(state.number(Kind::kStddev), 4 * 1.001);

    State smaller(metric);
    const std::int64_t near = std::int64_t{1} << 50;
    smaller.add(std::vector<std::int64_t>{near + 1, near + 3, near + 5, near + 7, near + 9});
    EXPECT_NEAR(smaller.number(Kind::kStddev), std::sqrt(8.0), 1e-12);
}

TEST(ValueStatistics, BatchCutsChangeNoBitOfTheState) {
    const std::vector<double> floats = lognormal_values(20'000, 31);
    std::vector<double> with_gaps = floats;
    for (std::size_t i = 0; i < with_gaps.size(); i += 7) {
        with_gaps[i] = i % 2 == 0 ? kNaN : (i % 3 == 0 ? -0.0 : 1e200);
    }
    const ValueStatistics metric(0, FieldType::kFloat64, the_nine());
    for (const std::vector<double>& values : {floats, with_gaps}) {
        State whole(metric);
        const std::uint64_t skipped = whole.add(values);
        std::mt19937_64 random(37);
        for (const std::uint64_t longest : {1U, 3U, 255U, 257U, 5000U}) {
            State cut(metric);
            std::uint64_t cut_skipped = 0;
            for (std::size_t begin = 0; begin < values.size();) {
                const std::size_t size = std::min<std::size_t>(1 + random() % longest, values.size() - begin);
                cut_skipped += cut.add(column_of(values), begin, size);
                begin += size;
            }
            ASSERT_EQ(cut.encoded(), whole.encoded()) << longest;
            ASSERT_EQ(cut_skipped, skipped);
        }
    }
}

TEST(ValueStatistics, InterleavedKeysAreWhatEachKeyIsAlone) {
    const std::vector<double> values = lognormal_values(30'000, 41);
    const ValueStatistics metric(0, FieldType::kFloat64, the_nine());
    constexpr std::size_t kKeys = 7;
    constexpr std::size_t kOffset = 16;
    std::vector<std::vector<std::uint64_t>> words(kKeys, std::vector<std::uint64_t>(10));
    SizeClassPool pool;
    std::vector<std::byte*> rows;
    std::vector<std::vector<double>> per_key(kKeys);
    for (auto& row : words) {
        metric.create(reinterpret_cast<std::byte*>(row.data()) + kOffset);
    }
    for (std::size_t i = 0; i < values.size(); ++i) {
        const std::size_t key = i * i % kKeys;
        rows.push_back(reinterpret_cast<std::byte*>(words[key].data()));
        per_key[key].push_back(values[i]);
    }
    EXPECT_EQ(metric.add(rows, kOffset, batch_of(column_of(values)), 0, pool), 0U);
    for (std::size_t key = 0; key < kKeys; ++key) {
        State alone(metric);
        alone.add(per_key[key]);
        ByteWriter out;
        metric.encode(reinterpret_cast<std::byte*>(words[key].data()) + kOffset, out);
        EXPECT_EQ(out.bytes(), alone.encoded());
    }
}

TEST(ValueStatistics, EveryCombinationOfPartsAgreesWithTheNine) {
    const std::vector<double> floats = lognormal_values(1000, 43);
    std::vector<std::int64_t> ints;
    for (const double value : floats) {
        ints.push_back(static_cast<std::int64_t>(value) - 100);
    }
    const std::vector<Aggregation> nine = the_nine();
    for (unsigned subset = 1; subset < 512; ++subset) {
        std::vector<Aggregation> some;
        for (unsigned i = 0; i < 9; ++i) {
            if ((subset >> i & 1) != 0) {
                some.push_back(nine[i]);
            }
        }
        for (const FieldType type : {FieldType::kFloat64, FieldType::kInt64}) {
            const ValueStatistics all_metric(0, type, nine);
            const ValueStatistics some_metric(0, type, some);
            State all_state(all_metric);
            State some_state(some_metric);
            if (type == FieldType::kFloat64) {
                all_state.add(floats);
                some_state.add(floats);
            } else {
                all_state.add(ints);
                some_state.add(ints);
            }
            for (const Aggregation& aggregation : some) {
                ASSERT_EQ(some_metric.result(some_state.bytes(), aggregation),
                          all_metric.result(all_state.bytes(), aggregation))
                    << aggregation.result_name << " of subset " << subset;
            }
        }
    }
}

TEST(ValueStatistics, AskingForWhatIsNotKeptIsAnError) {
    const ValueStatistics metric(0, FieldType::kFloat64, {{Kind::kCount, 0, "count"}});
    State state(metric);
    EXPECT_THROW(static_cast<void>(state.result(Kind::kStddev)), Error);
}

TEST(ValueStatistics, PercentilesOutsideZeroToHundredAreRefused) {
    EXPECT_NO_THROW(ValueStatistics(0, FieldType::kFloat64, {{Kind::kPercentile, 0, "p0"}}));
    EXPECT_NO_THROW(ValueStatistics(0, FieldType::kFloat64, {{Kind::kPercentile, 100, "p100"}}));
    EXPECT_THROW(ValueStatistics(0, FieldType::kFloat64, {{Kind::kPercentile, 100.1, "p"}}), Error);
    EXPECT_THROW(ValueStatistics(0, FieldType::kFloat64, {{Kind::kPercentile, kNaN, "p"}}), Error);
}

TEST(ValueStatistics, AnySplitMergedEqualsTheWholeWithinTheLaws) {
    std::vector<double> values = lognormal_values(5000, 47);
    const ValueStatistics metric(0, FieldType::kFloat64, the_nine());
    State whole(metric);
    whole.add(values);
    std::mt19937_64 random(53);
    double magnitudes = 0;
    for (const double value : values) {
        magnitudes += std::fabs(value);
    }
    for (int round = 0; round < 20; ++round) {
        std::shuffle(values.begin(), values.end(), random);
        State merged(metric);
        for (std::size_t begin = 0; begin < values.size();) {
            const std::size_t size = std::min<std::size_t>(random() % 800, values.size() - begin);
            State part(metric);
            part.add(column_of(values), begin, size);
            merged.merge(part);
            begin += size;
        }
        for (const Aggregation& aggregation : the_nine()) {
            const MetricValue expected = whole.result(aggregation.kind, aggregation.percentile);
            const MetricValue actual = merged.result(aggregation.kind, aggregation.percentile);
            if (aggregation.kind == Kind::kSum || aggregation.kind == Kind::kAverage) {
                EXPECT_NEAR(std::get<double>(actual), std::get<double>(expected), 1e-15 * magnitudes);
            } else if (aggregation.kind == Kind::kStddev) {
                EXPECT_NEAR(std::get<double>(actual) / std::get<double>(expected), 1.0, 1e-14);
            } else {
                EXPECT_EQ(actual, expected) << aggregation.result_name;
            }
        }
    }
}

TEST(ValueStatistics, AddingOneByOneEqualsAddingAColumn) {
    const ValueStatistics metric(0, FieldType::kInt64, the_nine());
    State column(metric);
    State single(metric);
    column.add(std::vector<std::int64_t>{5, -3, 700});
    for (const std::int64_t value : {5, -3, 700}) {
        EXPECT_TRUE(metric.add_one(single.bytes(), value, single.pool()));
    }
    EXPECT_EQ(single.encoded(), column.encoded());

    const ValueStatistics floats(0, FieldType::kFloat64, the_nine());
    State state(floats);
    EXPECT_TRUE(floats.add_one(state.bytes(), 1.5, state.pool()));
    EXPECT_TRUE(floats.add_one(state.bytes(), std::int64_t{2}, state.pool()));
    EXPECT_FALSE(floats.add_one(state.bytes(), kNaN, state.pool()));
    EXPECT_EQ(state.number(Kind::kSum), 3.5);
}

TEST(ValueStatistics, DecodingRestoresExactlyAndGoesOnAlike) {
    for (const std::size_t size : {0U, 1U, 64U, 65U, 3000U}) {
        for (const FieldType type : {FieldType::kFloat64, FieldType::kInt64}) {
            const ValueStatistics metric(0, type, the_nine());
            std::vector<double> floats = lognormal_values(size, 59);
            std::vector<std::int64_t> ints(floats.begin(), floats.end());
            State state(metric);
            State restored(metric);
            type == FieldType::kInt64 ? state.add(ints) : state.add(floats);
            const std::string encoded = state.encoded();
            ByteReader in(encoded);
            metric.decode(restored.bytes(), in, restored.pool());
            EXPECT_EQ(in.remaining(), 0U);
            EXPECT_EQ(restored.encoded(), encoded);
            type == FieldType::kInt64 ? state.add(ints) : state.add(floats);
            type == FieldType::kInt64 ? restored.add(ints) : restored.add(floats);
            EXPECT_EQ(restored.encoded(), state.encoded());
        }
    }
}

TEST(ValueStatistics, CorruptBytesThrowAndLeaveTheStateEmpty) {
    std::mt19937_64 random(61);
    for (const FieldType type : {FieldType::kFloat64, FieldType::kInt64}) {
        for (const std::size_t size : {5U, 200U}) {
            const ValueStatistics metric(0, type, the_nine());
            const std::vector<double> floats = lognormal_values(size, 67);
            State state(metric);
            type == FieldType::kInt64 ? state.add(std::vector<std::int64_t>(floats.begin(), floats.end()))
                                      : state.add(floats);
            const std::string encoded = state.encoded();
            State restored(metric);
            const std::string empty = restored.encoded();
            for (int round = 0; round < 10'000; ++round) {
                std::string damaged = encoded;
                damaged[random() % damaged.size()] = static_cast<char>(random());
                damaged.resize(random() % 4 == 0 ? random() % damaged.size() : damaged.size());
                try {
                    ByteReader in(damaged);
                    metric.decode(restored.bytes(), in, restored.pool());
                    for (const Aggregation& aggregation : the_nine()) {
                        if (type != FieldType::kInt64 || aggregation.kind != Kind::kSum) {
                            static_cast<void>(metric.result(restored.bytes(), aggregation));
                        }
                    }
                    metric.destroy(restored.bytes(), restored.pool());
                    metric.create(restored.bytes());
                } catch (const Error& error) {
                    EXPECT_EQ(error.kind(), ErrorKind::kCheckpoint);
                }
                ASSERT_EQ(restored.encoded(), empty);
                ASSERT_EQ(restored.pool().allocated_bytes(), 0U);
            }
        }
    }
}

TEST(ValueStatistics, DestroyingGivesEverythingBackToThePool) {
    const ValueStatistics metric(0, FieldType::kFloat64, the_nine());
    State state(metric);
    state.add(lognormal_values(100'000, 71));
    EXPECT_GT(state.pool().allocated_bytes(), 0U);
    metric.destroy(state.bytes(), state.pool());
    EXPECT_EQ(state.pool().allocated_bytes(), 0U);
}

TEST(ValueStatistics, APaneReportsTheErrorOfItsPercentilesIfAsked) {
    const ValueStatistics metric(0, FieldType::kFloat64, {{Kind::kPercentileError, 0, "percentile_error"}});
    State state(metric);
    EXPECT_TRUE(std::holds_alternative<std::monostate>(state.result(Kind::kPercentileError)));
    state.add(lognormal_values(64, 1));
    EXPECT_EQ(state.number(Kind::kPercentileError), 0.0);
    state.add(lognormal_values(1, 2));
    const double error = state.number(Kind::kPercentileError);
    EXPECT_GT(error, 0.009);
    EXPECT_LT(error, 0.01);
    // 21 octaves fit; twice as many take one collapse.
    state.add(std::vector<double>{1, std::ldexp(1.0, 40)});
    EXPECT_DOUBLE_EQ(state.number(Kind::kPercentileError), 2 * error / (1 + error * error));
}

}  // namespace
}  // namespace llmopt_stream
