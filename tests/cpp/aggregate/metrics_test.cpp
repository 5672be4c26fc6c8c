// What every metric keeps, whatever it computes.

#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "aggregate/collected_values.hpp"
#include "aggregate/distinct_count.hpp"
#include "aggregate/edge_histogram.hpp"
#include "aggregate/endpoint_statistics.hpp"
#include "aggregate/exact_percentiles.hpp"
#include "aggregate/heavy_hitters.hpp"
#include "aggregate/joint_statistics.hpp"
#include "aggregate/kll_percentiles.hpp"
#include "aggregate/log_bucket_histogram.hpp"
#include "aggregate/metric_state.hpp"
#include "aggregate/selected_metric.hpp"
#include "aggregate/shape_statistics.hpp"
#include "aggregate/strict_metric.hpp"
#include "aggregate/value_statistics.hpp"
#include "record/error.hpp"
#include "record/key.hpp"

namespace llmopt_stream {
namespace {

using Joint = JointStatistics::Kind;

/// Columns 0 and 1 are floats, 2 integers. Labels 0 are of any type.
std::vector<std::pair<std::string, std::shared_ptr<const Metric>>> all_metrics(bool integers_as_floats) {
    const FieldType integer = integers_as_floats ? FieldType::kFloat64 : FieldType::kInt64;
    const std::vector<EndpointStatistics::Result> ends = {{EndpointStatistics::End::kFirst, "first"},
                                                          {EndpointStatistics::End::kLast, "last"}};
    const std::vector<ShapeStatistics::Result> shapes = {{ShapeStatistics::Shape::kSkewness, "skewness"},
                                                         {ShapeStatistics::Shape::kKurtosis, "kurtosis"}};
    const std::vector<JointStatistics::Field> pair = {{0, FieldType::kFloat64}, {2, integer}};
    return {
        {"statistics", std::make_shared<ValueStatistics>(
                           0, FieldType::kFloat64,
                           std::vector<Aggregation>{{AggregationKind::kVariance, 0, "variance"},
                                                    {AggregationKind::kPercentile, 50, "p50"}})},
        {"endpoints", std::make_shared<EndpointStatistics>(0, FieldType::kFloat64, ends)},
        {"integer endpoints", std::make_shared<EndpointStatistics>(2, integer, ends)},
        {"shape", std::make_shared<ShapeStatistics>(0, FieldType::kFloat64, shapes)},
        {"integer shape", std::make_shared<ShapeStatistics>(2, integer, shapes)},
        {"ratio", std::make_shared<JointStatistics>(
                      pair, std::vector<JointStatistics::Result>{{Joint::kRatio, "ratio", 1000}})},
        {"weighted", std::make_shared<JointStatistics>(
                         pair, std::vector<JointStatistics::Result>{{Joint::kWeightedAverage, "average"}})},
        {"correlation", std::make_shared<JointStatistics>(
                            pair, std::vector<JointStatistics::Result>{{Joint::kCorrelation, "correlation"},
                                                                       {Joint::kCovariance, "covariance"}})},
        {"trend", std::make_shared<JointStatistics>(
                      std::vector<JointStatistics::Field>{{0, FieldType::kFloat64}, {std::nullopt}},
                      std::vector<JointStatistics::Result>{{Joint::kSlope, "slope"},
                                                           {Joint::kIntercept, "intercept"}})},
        {"plane",
         std::make_shared<JointStatistics>(
             std::vector<JointStatistics::Field>{
                 {0, FieldType::kFloat64}, {1, FieldType::kFloat64}, {2, integer}},
             std::vector<JointStatistics::Result>{{Joint::kSlope, "slope"}, {Joint::kDetermination, "r2"}})},
        {"distinct", std::make_shared<DistinctCount>(0, 4, "distinct")},
        {"few distinct", std::make_shared<DistinctCount>(0, 12, "distinct")},
        {"hitters", std::make_shared<HeavyHitters>(0, 3, 5, "heavy_hitters")},
        {"few hitters", std::make_shared<HeavyHitters>(0, 10, 1'000, "heavy_hitters")},
        {"exact percentiles", std::make_shared<ExactPercentiles>(
                                  0, std::vector<PercentileMetric::Result>{{50, "p50"}, {99, "p99"}})},
        {"integer percentiles",
         std::make_shared<ExactPercentiles>(2, std::vector<PercentileMetric::Result>{{25, "p25"}})},
        {"percentiles by rank", std::make_shared<KllPercentiles>(
                                    0, std::vector<PercentileMetric::Result>{{50, "p50"}, {0, "p0"}}, 8)},
        {"edges", std::make_shared<EdgeHistogram>(0, std::vector<double>{-50, 0, 1.5, 1e100}, "histogram")},
        {"integer edges", std::make_shared<EdgeHistogram>(2, std::vector<double>{-50, 0, 1.5}, "histogram")},
        {"log buckets", std::make_shared<LogBucketHistogram>(0, 768, "histogram")},
        {"few log buckets", std::make_shared<LogBucketHistogram>(2, 5, "histogram")},
        {"collect", std::make_shared<CollectedValues>(0, 20, "collect")},
    };
}

/// Records of all kinds: some without a value, some huge.
class Records {
public:
    explicit Records(std::size_t size, std::uint64_t seed, bool usable = true) {
        std::mt19937_64 random(seed);
        for (std::size_t record = 0; record < size; ++record) {
            times_.push_back(1'767'225'600'000'000 + static_cast<Timestamp>(random() % 1'000));
            for (std::vector<double>& column : floats_) {
                const std::uint64_t draw = random() % 50;
                column.push_back(!usable || draw == 0 ? std::numeric_limits<double>::quiet_NaN()
                                 : draw == 1          ? 1e200
                                                      : static_cast<double>(random() % 2'000) / 7 - 100);
            }
            integers_.push_back(static_cast<std::int64_t>(random() % 1'000) - 300);
            present_.push_back(usable && random() % 20 != 0 ? 1 : 0);
            std::string label;
            key_encoding::append(label, usable ? label_of(random) : KeyValue{});
            codes_.push_back(labels_.intern(label));
        }
    }
    [[nodiscard]] std::size_t size() const { return times_.size(); }
    [[nodiscard]] RecordBatch batch() const {
        RecordBatch batch;
        batch.size = size();
        batch.event_time = times_;
        batch.values = {{FieldType::kFloat64, floats_[0], {}, {}},
                        {FieldType::kFloat64, floats_[1], {}, {}},
                        {FieldType::kInt64, {}, integers_, present_}};
        batch.labels = {{codes_, &labels_}};
        return batch;
    }

private:
    static KeyValue label_of(std::mt19937_64& random) {
        const auto draw = static_cast<std::int64_t>(random() % 400);
        switch (random() % 8) {
            case 0: return {};
            case 1: return draw % 2 == 0;
            case 2: return static_cast<double>(draw) / 8;
            case 3: return std::string(static_cast<std::size_t>(draw), 'x');
            case 4: return std::numeric_limits<std::uint64_t>::max() - static_cast<std::uint64_t>(draw);
            default: return draw * draw % 50;
        }
    }

    std::vector<Timestamp> times_;
    std::vector<double> floats_[2];
    std::vector<std::int64_t> integers_;
    std::vector<std::uint8_t> present_;
    std::vector<std::uint32_t> codes_;
    KeyDictionary labels_;
};

using State = MetricState;

TEST(Metrics, BatchCutsChangeNoBit) {
    const Records records(400, 11);
    const RecordBatch batch = records.batch();
    std::mt19937_64 random(12);
    for (const auto& [name, metric] : all_metrics(false)) {
        State whole(*metric);
        const std::uint64_t skipped = whole.add(batch, 0, batch.size);
        State cut(*metric);
        std::uint64_t cut_skipped = 0;
        for (std::size_t first = 0; first < batch.size;) {
            const std::size_t size = std::min<std::size_t>(1 + random() % 70, batch.size - first);
            cut_skipped += cut.add(batch, first, size);
            first += size;
        }
        EXPECT_EQ(cut.encoded(), whole.encoded()) << name;
        EXPECT_EQ(cut_skipped, skipped) << name;
        EXPECT_GT(skipped, 0U) << name;
    }
}

TEST(Metrics, DecodingRestoresExactlyAndGoesOnAlike) {
    const Records records(300, 13);
    const RecordBatch batch = records.batch();
    for (const auto& [name, metric] : all_metrics(false)) {
        for (const std::size_t size : {0U, 1U, 3U, 200U}) {
            State state(*metric);
            state.add(batch, 0, size);
            State restored(*metric);
            restored.decode(state.encoded());
            EXPECT_EQ(restored.encoded(), state.encoded()) << name;
            EXPECT_EQ(restored.results(), state.results()) << name;
            state.add(batch, size, 100);
            restored.add(batch, size, 100);
            EXPECT_EQ(restored.encoded(), state.encoded()) << name;
        }
    }
}

TEST(Metrics, AnEmptyStateIsTheUnitOfMerging) {
    const Records records(50, 14);
    const RecordBatch batch = records.batch();
    for (const auto& [name, metric] : all_metrics(false)) {
        State state(*metric);
        state.add(batch, 0, batch.size);
        State empty(*metric);
        const std::string before = state.results();
        state.merge(empty);
        EXPECT_EQ(state.results(), before) << name;
        empty.merge(state);
        EXPECT_EQ(empty.results(), before) << name;
    }
}

TEST(Metrics, WithoutAValueTheBytesAreTheSameForEveryType) {
    const Records unusable(20, 15, false);
    const auto as_integers = all_metrics(false);
    const auto as_floats = all_metrics(true);
    for (std::size_t at = 0; at < as_integers.size(); ++at) {
        State integers(*as_integers[at].second);
        EXPECT_EQ(integers.add(unusable.batch(), 0, unusable.size()), unusable.size());
        State floats(*as_floats[at].second);
        floats.decode(integers.encoded());
        EXPECT_EQ(floats.encoded(), integers.encoded()) << as_integers[at].first;
    }
}

TEST(Metrics, ASelectionIsAsIfTheOtherRecordsWereNotThere) {
    const Records records(400, 18);
    RecordBatch batch = records.batch();
    std::mt19937_64 random(19);
    for (const unsigned share : {0U, 1U, 50U, 99U, 100U}) {
        std::vector<std::uint8_t> selection;
        for (std::size_t record = 0; record < batch.size; ++record) {
            selection.push_back(random() % 100 < share ? 1 : 0);
        }
        batch.selections = {{}, selection};
        for (const auto& [name, metric] : all_metrics(false)) {
            const SelectedMetric selected(1, metric);
            State state(selected);
            // From the middle: what comes before is not looked at.
            const std::uint64_t skipped = state.add(batch, 100, 300);
            State alone(*metric);
            std::uint64_t skipped_alone = 0;
            for (std::size_t record = 100; record < 400; ++record) {
                skipped_alone += selection[record] != 0 ? alone.add(batch, record, 1) : 0;
            }
            EXPECT_EQ(state.encoded(), alone.encoded()) << name;
            EXPECT_EQ(state.results(), alone.results()) << name;
            EXPECT_EQ(skipped, skipped_alone) << name;
        }
    }
}

TEST(Metrics, AStrictOneNamesTheRecordThatHasNoValue) {
    KeyDictionary keys;
    for (const char* const name : {"a", "b"}) {
        std::string encoded;
        key_encoding::append_text(encoded, name);
        keys.intern(encoded);
    }
    const std::vector<std::uint32_t> key{0, 0, 1, 0};
    const std::vector<Timestamp> times{0, 1'000'000, 2'000'000, 3'000'000};
    const std::vector<double> values{1, 2, std::numeric_limits<double>::infinity(), 4};
    const std::vector<std::int64_t> weights{1, 2, 3, 4};
    const std::vector<std::uint8_t> present{1, 0, 1, 1};
    RecordBatch batch;
    batch.size = 4;
    batch.event_time = times;
    batch.key = key;
    batch.keys = &keys;
    batch.values = {{FieldType::kFloat64, values, {}, {}}, {FieldType::kInt64, {}, weights, present}};
    const auto error_of = [&](std::vector<StrictMetric::Field> fields, std::size_t first) -> std::string {
        std::vector<JointStatistics::Field> read;
        for (const StrictMetric::Field& field : fields) {
            read.push_back({field.column, batch.values[field.column].type});
        }
        const std::vector<JointStatistics::Result> results{{Joint::kRatio, "ratio", 1, read.size() - 1}};
        const StrictMetric strict(fields, std::make_shared<JointStatistics>(read, results));
        State state(strict);
        try {
            EXPECT_EQ(state.add(batch, first, batch.size - first), 0U);
        } catch (const Error& error) {
            EXPECT_EQ(error.kind(), ErrorKind::kAggregation);
            return error.what();
        }
        return "";
    };
    EXPECT_EQ(error_of({{"v", 0}, {"w", 1}}, 0),
              "field 'w': the record of 1970-01-01T00:00:01+00:00 has no usable value, which nulls='error' "
              "refuses; key ('a')");
    EXPECT_EQ(error_of({{"v", 0}, {"w", 1}}, 2),
              "field 'v': the record of 1970-01-01T00:00:02+00:00 has no usable value, which nulls='error' "
              "refuses; key ('b')");
    EXPECT_EQ(error_of({{"v", 0}, {"w", 1}}, 3), "");
}

TEST(Metrics, CorruptBytesAreRefusedOrMakeAStateThatCanBeUsed) {
    const Records records(120, 16);
    const RecordBatch batch = records.batch();
    std::mt19937_64 random(17);
    for (const auto& [name, metric] : all_metrics(false)) {
        State state(*metric);
        state.add(batch, 0, batch.size);
        const std::string encoded = state.encoded();
        State damaged(*metric);
        const std::string empty = damaged.encoded();
        for (int round = 0; round < 2'000; ++round) {
            std::string bytes = encoded;
            bytes[random() % bytes.size()] = static_cast<char>(random());
            bytes.resize(random() % 4 == 0 ? random() % bytes.size() : bytes.size());
            try {
                damaged.decode(bytes);
                damaged.add(batch, 0, 5);
                static_cast<void>(damaged.results());
                damaged.reset();
            } catch (const Error& error) {
                ASSERT_EQ(error.kind(), ErrorKind::kCheckpoint) << name;
                ASSERT_EQ(damaged.encoded(), empty) << name;
            }
            ASSERT_EQ(damaged.allocated_bytes(), 0U) << name;
        }
    }
}

TEST(Metrics, MergingLeavesTheOtherAsItWasAndIsTheSameEachTime) {
    const Records records(400, 18);
    const RecordBatch batch = records.batch();
    for (const auto& [name, metric] : all_metrics(false)) {
        State other(*metric);
        other.add(batch, 150, 250);
        const std::string before = other.encoded();
        std::string merged[2];
        for (std::string& each : merged) {
            State state(*metric);
            state.add(batch, 0, 150);
            state.merge(other);
            each = state.encoded();
        }
        EXPECT_EQ(merged[0], merged[1]) << name;
        EXPECT_EQ(other.encoded(), before) << name;
    }
}

TEST(Metrics, DestroyingGivesAllMemoryBack) {
    const Records records(400, 19);
    const RecordBatch batch = records.batch();
    for (const auto& [name, metric] : all_metrics(false)) {
        State state(*metric);
        State other(*metric);
        state.add(batch, 0, 250);
        other.add(batch, 250, 150);
        state.merge(other);
        state.reset();
        EXPECT_EQ(state.allocated_bytes(), 0U) << name;
        other.reset();
        EXPECT_EQ(other.allocated_bytes(), 0U) << name;
    }
}

}  // namespace
}  // namespace llmopt_stream
