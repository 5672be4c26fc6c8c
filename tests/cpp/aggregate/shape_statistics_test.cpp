#include "aggregate/shape_statistics.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <string>
#include <vector>

#include "aggregate/metric_state.hpp"

namespace llmopt_stream {
namespace {

using Shape = ShapeStatistics::Shape;

const std::vector<ShapeStatistics::Result> kBoth = {{Shape::kSkewness, "skewness"},
                                                    {Shape::kKurtosis, "kurtosis"}};
const ShapeStatistics kFloats(0, FieldType::kFloat64, kBoth);
const ShapeStatistics kIntegers(0, FieldType::kInt64, kBoth);

RecordBatch batch_of(const std::vector<double>& values) {
    RecordBatch batch;
    batch.size = values.size();
    batch.values = {{FieldType::kFloat64, values, {}, {}}};
    return batch;
}

RecordBatch batch_of(const std::vector<std::int64_t>& values) {
    RecordBatch batch;
    batch.size = values.size();
    batch.values = {{FieldType::kInt64, {}, values, {}}};
    return batch;
}

/// Of states that take the values up to each cut, merged in this order.
std::vector<ResultColumn> shape_of(const ShapeStatistics& metric, const RecordBatch& batch,
                                   std::vector<std::size_t> cuts = {}) {
    cuts.push_back(batch.size);
    MetricState merged(metric);
    std::size_t first = 0;
    for (const std::size_t end : cuts) {
        MetricState part(metric);
        part.add(batch, first, end - first);
        merged.merge(part);
        first = end;
    }
    return merged.result_columns();
}

TEST(ShapeStatistics, ValuesFarFromZeroHaveTheShapeOfTheirDeviations) {
    std::vector<double> near;
    for (int value = 0; value < 200; ++value) {
        near.push_back(static_cast<double>(value * value % 97) / 1024);
    }
    const auto expected = shape_of(kFloats, batch_of(near));
    for (const double offset : {-1.0, 1e6, 1.7e9, -4e12}) {
        std::vector<double> far;
        for (const double value : near) {
            far.push_back(offset + value);
        }
        for (const std::vector<std::size_t>& cuts :
             {std::vector<std::size_t>{}, {100}, {0, 3, 3, 150}, {1, 2, 3}}) {
            const auto found = shape_of(kFloats, batch_of(far), cuts);
            for (std::size_t result = 0; result < kBoth.size(); ++result) {
                ASSERT_EQ(found[result].present[0], 1);
                EXPECT_NEAR(found[result].float64[0], expected[result].float64[0], 1e-14) << offset;
            }
        }
    }
}

TEST(ShapeStatistics, AFirstValueFarFromTheOthersCostsNoDigits) {
    std::vector<double> values(1'000, 1e9);
    values[0] = 0;
    const auto found = shape_of(kFloats, batch_of(values), {1, 500});
    // Of one value among n that differs: -(n - 2) / sqrt(n - 1), and the square of this + 1 - 3.
    EXPECT_NEAR(found[0].float64[0], -998 / std::sqrt(999.0), 1e-12);
    EXPECT_NEAR(found[1].float64[0], 998.0 * 998 / 999 - 2, 1e-9);
}

TEST(ShapeStatistics, IntegersThatAreOneDoubleStayApart) {
    const std::int64_t base = std::int64_t{1} << 60;
    const auto expected = shape_of(kIntegers, batch_of(std::vector<std::int64_t>{0, 1, 3, 8}));
    const std::vector<std::int64_t> values{base, base + 1, base + 3, base + 8};
    for (const std::vector<std::size_t>& cuts : {std::vector<std::size_t>{}, {2}, {1, 2, 3}}) {
        const auto found = shape_of(kIntegers, batch_of(values), cuts);
        for (std::size_t result = 0; result < kBoth.size(); ++result) {
            ASSERT_EQ(found[result].present[0], 1);
            EXPECT_DOUBLE_EQ(found[result].float64[0], expected[result].float64[0]);
        }
    }
}

TEST(ShapeStatistics, EqualValuesHaveNoneHoweverTheyAreMerged) {
    const std::vector<double> values(40, 1.7e9 + 0.1);
    for (const std::vector<std::size_t>& cuts : {std::vector<std::size_t>{}, {1}, {7, 20, 33}}) {
        for (const ResultColumn& result : shape_of(kFloats, batch_of(values), cuts)) {
            EXPECT_EQ(result.present[0], 0);
        }
    }
}

TEST(ShapeStatistics, PowersBeyondADoublesRangeAreAbsentHoweverTheyAreMerged) {
    for (const double scale : {1e80, 1e200, 1.7e308, 1e-80, 1e-110, 1e-300}) {
        const std::vector<double> values{-scale, scale, scale / 2, 0};
        for (const std::vector<std::size_t>& cuts : {std::vector<std::size_t>{}, {1}, {1, 2}, {2}}) {
            EXPECT_EQ(shape_of(kFloats, batch_of(values), cuts)[1].present[0], 0) << scale;
        }
    }
}

}  // namespace
}  // namespace llmopt_stream
