#pragma once

#include <cstdint>
#include <string>

namespace llmopt_stream {

enum class AggregationKind : std::uint8_t {
    kCount,
    kSum,
    kAverage,
    kMin,
    kMax,
    kRange,            ///< max - min
    kVariance,         ///< of the population: 0 for one value
    kVarianceSample,   ///< absent for one value
    kStddev,           ///< of the population: 0 for one value
    kStddevSample,     ///< absent for one value
    kPercentile,       ///< nearest rank: sorted[ceil(p / 100 * n) - 1]
    kRate,             ///< values per second of the window; absent where it has no length
    kSumRate,          ///< their sum per second
    kPercentileError,  ///< the bound on the relative error of percentiles; 0 where they are exact
};

/// One statistic of a value column and the name of its result.
struct Aggregation {
    AggregationKind kind = AggregationKind::kCount;
    /// In [0, 100]; read to 1e-9. Only for kPercentile.
    double percentile = 0;
    std::string result_name;
    /// What errors call the values; empty where they have no name.
    std::string field{};
};

}  // namespace llmopt_stream
