#pragma once

#include <cstddef>
#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include "aggregate/aggregation.hpp"

namespace llmopt_stream::bench {

/// Seeded latencies with three decimals, lognormal with a median of 492.
inline std::vector<double> latencies(std::size_t size) {
    std::mt19937_64 random(7);
    std::lognormal_distribution<double> distribution(6.2, 0.7);
    std::vector<double> values(size);
    for (double& value : values) {
        value = static_cast<double>(static_cast<long>(distribution(random) * 1000)) / 1000;
    }
    return values;
}

/// Seeded numbers below `limit`, all equally frequent.
inline std::vector<std::uint32_t> choices(std::size_t size, std::uint32_t limit) {
    std::mt19937_64 random(11);
    std::uniform_int_distribution<std::uint32_t> distribution(0, limit - 1);
    std::vector<std::uint32_t> numbers(size);
    for (std::uint32_t& number : numbers) {
        number = distribution(random);
    }
    return numbers;
}

inline std::vector<std::string> tenants(std::size_t size) {
    std::vector<std::string> names;
    for (std::size_t i = 0; i < size; ++i) {
        names.push_back("tenant-" + std::to_string(100'000 + i));
    }
    return names;
}

inline std::vector<Aggregation> nine_statistics() {
    using Kind = AggregationKind;
    return {{Kind::kCount, 0, "count"},     {Kind::kSum, 0, "sum"},         {Kind::kAverage, 0, "average"},
            {Kind::kMin, 0, "min"},         {Kind::kMax, 0, "max"},         {Kind::kStddev, 0, "stddev"},
            {Kind::kPercentile, 50, "p50"}, {Kind::kPercentile, 95, "p95"}, {Kind::kPercentile, 99, "p99"}};
}

}  // namespace llmopt_stream::bench
