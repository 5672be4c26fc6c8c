#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>

#include "aggregate/result_column.hpp"
#include "aggregate/result_value.hpp"

namespace llmopt_stream {

/// How many values lie between two bounds; one that is absent is none.
struct HistogramBucket {
    std::optional<double> lower;
    std::optional<double> upper;
    std::uint64_t count;
};

/// A list of {lower, upper, count}.
[[nodiscard]] ResultValue histogram_value(std::span<const HistogramBucket> buckets);
/// An empty column for such lists.
[[nodiscard]] ResultColumn histogram_column(const std::string& name);

}  // namespace llmopt_stream
