#pragma once

#include <cstddef>
#include <cstdint>

#include "aggregate/aggregation.hpp"
#include "aggregate/compensated_sum.hpp"
#include "aggregate/state_part.hpp"
#include "record/int128.hpp"
#include "record/schema.hpp"

namespace llmopt_stream {

/// What a metric keeps besides the count. Squares need the sum, and both squares and
/// sketch need the extremes, which bound what they can answer.
struct ValueParts {
    bool sum = false;
    bool squares = false;
    bool extremes = false;
    bool sketch = false;

    constexpr void include(AggregationKind kind) noexcept {
        switch (kind) {
            case AggregationKind::kCount:
            case AggregationKind::kRate: break;
            case AggregationKind::kSum:
            case AggregationKind::kSumRate:
            case AggregationKind::kAverage: sum = true; break;
            case AggregationKind::kMin:
            case AggregationKind::kMax:
            case AggregationKind::kRange: extremes = true; break;
            case AggregationKind::kVariance:
            case AggregationKind::kVarianceSample:
            case AggregationKind::kStddev:
            case AggregationKind::kStddevSample: sum = squares = extremes = true; break;
            case AggregationKind::kPercentile:
            case AggregationKind::kPercentileError: extremes = sketch = true; break;
        }
    }
    friend bool operator==(const ValueParts&, const ValueParts&) = default;
};

/// Where the parts lie in the state of a metric. Known at compile time in the loop over
/// values, at run time elsewhere. Everything together is 64 bytes, one cache line.
struct ValueLayout {
    std::size_t sum = 0;      ///< CompensatedSum, or a 128-bit integer
    std::size_t squares = 0;  ///< CompensatedSum
    /// How far behind the high part of a CompensatedSum its low part lies. With two of them, the high parts
    /// lie side by side and then the low parts, because they are computed two at a time.
    std::size_t low = sizeof(double);
    std::size_t min = 0;  ///< double or std::int64_t
    std::size_t max = 0;
    std::size_t sketch = 0;                     ///< QuantileSketch
    std::size_t bytes = sizeof(std::uint64_t);  // the count comes first

    constexpr ValueLayout(ValueParts parts, FieldType type) noexcept {
        const auto place = [this](bool kept, std::size_t& offset, std::size_t size) {
            offset = kept ? bytes : 0;
            bytes += kept ? size : 0;
        };
        place(parts.sum, sum, 16);
        place(parts.squares, squares, 16);
        if (parts.squares && type == FieldType::kFloat64) {
            squares = sum + sizeof(double);
            low = 2 * sizeof(double);
        }
        place(parts.extremes, min, 8);
        place(parts.extremes, max, 8);
        place(parts.sketch, sketch, 8);
    }

    [[nodiscard]] CompensatedSum load_sum(const std::byte* part) const noexcept {
        return CompensatedSum({load_part<double>(part), load_part<double>(part + low)});
    }
    void store_sum(std::byte* part, const CompensatedSum& value) const noexcept {
        store_part(part, value.raw_parts().hi);
        store_part(part + low, value.raw_parts().lo);
    }
};

}  // namespace llmopt_stream
