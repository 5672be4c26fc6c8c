#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "record/schema.hpp"

namespace llmopt_stream {

enum class AggregationKind : std::uint8_t {
    kCount,
    kSum,
    kAverage,
    kMin,
    kMax,
    kStddev,        ///< of the population: 0 for one value
    kStddevSample,  ///< absent for one value
    kPercentile,    ///< nearest rank: sorted[ceil(p / 100 * n) - 1]
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

/// Results of one aggregation, pane by pane. Exactly one of the two value vectors is
/// filled, as `type` says; where `present` is 0 the value is 0 and means null.
struct ResultColumn {
    std::string name;
    FieldType type = FieldType::kFloat64;
    std::vector<double> float64;
    std::vector<std::int64_t> int64;
    std::vector<std::uint8_t> present;

    [[nodiscard]] std::size_t size() const noexcept { return present.size(); }
    /// Keeps the memory.
    void clear() noexcept {
        float64.clear();
        int64.clear();
        present.clear();
    }
    void append(double value) {
        float64.push_back(value);
        present.push_back(1);
    }
    void append(std::int64_t value) {
        int64.push_back(value);
        present.push_back(1);
    }
    /// Back to the first `size` results.
    void shrink(std::size_t size) {
        if (type == FieldType::kInt64) {
            int64.resize(size);
        } else {
            float64.resize(size);
        }
        present.resize(size);
    }
    void append_null() {
        if (type == FieldType::kInt64) {
            int64.push_back(0);
        } else {
            float64.push_back(0);
        }
        present.push_back(0);
    }
};

}  // namespace llmopt_stream
