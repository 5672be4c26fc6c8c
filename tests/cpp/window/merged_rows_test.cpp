#include "window/merged_rows.hpp"

#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "aggregate/value_statistics.hpp"
#include "record/key.hpp"

namespace llmopt_stream {
namespace {

class MergedRowsTest : public ::testing::Test {
protected:
    static MetricRow make_row() {
        return MetricRow({std::make_shared<const ValueStatistics>(
            0, FieldType::kFloat64,
            std::vector<Aggregation>{{AggregationKind::kSum, 0, "sum"},
                                     {AggregationKind::kPercentile, 50, "p50"}})});
    }
    KeyInterner::Code code(const std::string& key) { return context_.keys.intern(key, hash_key(key)); }
    void add(Slice& slice, const std::string& key, double value) {
        std::byte* const row = slice.find_or_create(code(key));
        std::vector<std::uint64_t> skipped(1);
        RecordBatch batch;
        batch.values = {ValueColumn{FieldType::kFloat64, {&value, 1}, {}, {}}};
        context_.row.add({&row, 1}, batch, 0, context_.pool, skipped);
    }
    double sum(const MergedRows& rows, const std::string& key) {
        std::vector<ResultColumn> results = context_.row.make_result_columns();
        context_.row.append_results(rows.row(rows.index().find(code(key))), Interval{0, 1}, results);
        return results[0].float64[0];
    }

    SliceContext context_{make_row()};
};

TEST_F(MergedRowsTest, RowsOfAKeyAreMergedAndAnOnlyRowIsReferredTo) {
    Slice first(context_, {0, 1});
    Slice second(context_, {1, 2});
    add(first, "a", 1);
    add(first, "b", 2);
    add(second, "b", 4);
    const std::size_t bytes = context_.pool.allocated_bytes();
    MergedRows rows(context_);
    rows.merge(first);
    EXPECT_EQ(context_.pool.allocated_bytes(), bytes);
    rows.merge(second);
    EXPECT_EQ(rows.size(), 2U);
    EXPECT_EQ(rows.row(rows.index().find(code("a"))), first.find(code("a")));
    EXPECT_EQ(sum(rows, "a"), 1);
    EXPECT_EQ(sum(rows, "b"), 6);
    rows.clear();
    EXPECT_EQ(rows.size(), 0U);
    EXPECT_EQ(context_.pool.allocated_bytes(), bytes);
}

TEST_F(MergedRowsTest, ResetKeyStartsAnew) {
    Slice first(context_, {0, 1});
    Slice second(context_, {1, 2});
    add(first, "a", 1);
    add(second, "a", 2);
    MergedRows rows(context_);
    rows.merge(first);
    rows.merge(second);
    const std::uint32_t slot = rows.find_or_create(code("a"));
    rows.reset(slot);
    EXPECT_EQ(rows.row(slot), nullptr);
    rows.merge(slot, second.find(code("a")));
    EXPECT_EQ(sum(rows, "a"), 2);
    EXPECT_EQ(rows.size(), 1U);
}

}  // namespace
}  // namespace llmopt_stream
