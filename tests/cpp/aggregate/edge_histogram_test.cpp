#include "aggregate/edge_histogram.hpp"

#include <gtest/gtest.h>

#include <limits>
#include <vector>

#include "aggregate/metric_state.hpp"
#include "record/error.hpp"

namespace llmopt_stream {
namespace {

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

/// The counts of the buckets, whose bounds must be the edges.
std::vector<std::int64_t> counts_of(MetricState& state, const std::vector<double>& edges) {
    const ResultColumn column = state.result_columns().front();
    std::vector<std::int64_t> counts;
    for (const ResultValue& bucket : std::get<ResultList>(column.nested.front().value)) {
        const ResultFields& fields = std::get<ResultFields>(bucket.value);
        const std::size_t at = counts.size();
        EXPECT_EQ(fields[0].value, at == 0 ? ResultValue{} : ResultValue{edges.at(at - 1)});
        EXPECT_EQ(fields[1].value, at == edges.size() ? ResultValue{} : ResultValue{edges.at(at)});
        counts.push_back(std::get<std::int64_t>(fields[2].value.value));
    }
    EXPECT_EQ(counts.size(), edges.size() + 1);
    return counts;
}

RecordBatch batch_of(const std::vector<double>& values) {
    RecordBatch batch;
    batch.values = {{FieldType::kFloat64, values, {}, {}}};
    return batch;
}
RecordBatch batch_of(const std::vector<std::int64_t>& values) {
    RecordBatch batch;
    batch.values = {{FieldType::kInt64, {}, values, {}}};
    return batch;
}

TEST(EdgeHistogram, AnEdgeBelongsToTheBucketAboveIt) {
    const std::vector<double> edges = {0, 10, 20};
    const EdgeHistogram metric(0, edges, "histogram");
    MetricState state(metric);
    EXPECT_EQ(counts_of(state, edges), (std::vector<std::int64_t>{0, 0, 0, 0}));
    const std::vector<double> values = {-0.5, -0.0, 9.99, 10, 19, 20, 1e300, kNaN};
    EXPECT_EQ(state.add(batch_of(values), 0, values.size()), 1U);
    EXPECT_EQ(counts_of(state, edges), (std::vector<std::int64_t>{1, 2, 2, 2}));
}

TEST(EdgeHistogram, IntegersAreComparedExactly) {
    constexpr std::int64_t kMin = std::numeric_limits<std::int64_t>::min();
    constexpr std::int64_t kMax = std::numeric_limits<std::int64_t>::max();
    const std::vector<double> edges = {-1e300, -0x1p63, -0.5, 0x1p53 + 4, 0x1p63, 1e300};
    const EdgeHistogram metric(0, edges, "histogram");
    MetricState state(metric);
    // 2^53 + 3 would become 2^53 + 4 as a double.
    const std::vector<std::int64_t> values = {kMin, -1, 0, (1LL << 53) + 3, (1LL << 53) + 4, kMax};
    EXPECT_EQ(state.add(batch_of(values), 0, values.size()), 0U);
    EXPECT_EQ(counts_of(state, edges), (std::vector<std::int64_t>{0, 0, 2, 2, 2, 0, 0}));
}

TEST(EdgeHistogram, EdgesThatDoNotAscendAreRefused) {
    for (const std::vector<double>& edges :
         {std::vector<double>{}, {1, 1}, {2, 1}, {0, kNaN}, {0, std::numeric_limits<double>::infinity()}}) {
        try {
            const EdgeHistogram metric(0, edges, "histogram");
            ADD_FAILURE();
        } catch (const Error& error) {
            EXPECT_EQ(error.kind(), ErrorKind::kConfiguration);
        }
    }
}

}  // namespace
}  // namespace llmopt_stream
