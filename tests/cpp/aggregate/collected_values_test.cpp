#include "aggregate/collected_values.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <numeric>
#include <random>
#include <utility>
#include <vector>

#include "aggregate/metric_state.hpp"

namespace llmopt_stream {
namespace {

using Records = std::vector<std::pair<Timestamp, KeyValue>>;

void add(MetricState& state, const Records& records) {
    KeyDictionary dictionary;
    std::vector<Timestamp> times;
    std::vector<std::uint32_t> codes;
    for (const auto& [time, value] : records) {
        std::string encoded;
        key_encoding::append(encoded, value);
        times.push_back(time);
        codes.push_back(dictionary.intern(encoded));
    }
    RecordBatch batch;
    batch.event_time = times;
    batch.labels = {{codes, &dictionary}};
    state.add(batch, 0, records.size());
}

ResultList collected(MetricState& state) {
    return std::get<ResultList>(state.result_columns().front().nested.front().value);
}

TEST(CollectedValues, TheFirstByTimeInOrderOfTimeThenValueAsTheyWere) {
    const CollectedValues metric(0, 6, "collect");
    MetricState state(metric);
    add(state, {{5, std::string("late")},
                {2, 1.5},
                {1, {}},
                {2, true},
                {2, std::string("text")},
                {3, std::numeric_limits<std::uint64_t>::max()},
                {2, std::int64_t{-7}},
                {4, std::string("a\0b", 3)}});
    EXPECT_EQ(collected(state), (ResultList{{true},
                                            {std::int64_t{-7}},
                                            {1.5},
                                            {std::string("text")},
                                            {std::numeric_limits<std::uint64_t>::max()},
                                            {std::string("a\0b", 3)}}));
}

TEST(CollectedValues, IsAFunctionOfTheRecords) {
    std::mt19937_64 random(3);
    Records records;
    for (int record = 0; record < 300; ++record) {
        records.emplace_back(static_cast<Timestamp>(random() % 40), static_cast<std::int64_t>(random() % 10));
    }
    for (const std::size_t limit : {1U, 50U, 299U, 300U, 1'000U}) {
        const CollectedValues metric(0, limit, "collect");
        Records sorted = records;
        std::sort(sorted.begin(), sorted.end());
        sorted.resize(std::min(limit, sorted.size()));
        ResultList expected;
        for (const auto& [time, value] : sorted) {
            expected.push_back({std::get<std::int64_t>(value)});
        }
        for (int round = 0; round < 3; ++round) {
            std::shuffle(records.begin(), records.end(), random);
            MetricState parts[] = {MetricState(metric), MetricState(metric), MetricState(metric)};
            for (const auto& record : records) {
                add(parts[random() % 3], {record});
            }
            parts[1].merge(parts[0]);
            parts[1].merge(parts[2]);
            EXPECT_EQ(collected(parts[1]), expected) << limit;
        }
    }
}

}  // namespace
}  // namespace llmopt_stream
