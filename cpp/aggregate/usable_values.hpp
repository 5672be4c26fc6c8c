#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>

#include "record/record_batch.hpp"

namespace llmopt_stream {

/// Calls use(i, value) for each record first + i, of `size`, that has a value: a double that is finite, where
/// -0.0 becomes 0.0, or an integer that is present. Returns how many have none.
template <typename Use>
std::uint64_t for_each_value(const ValueColumn& column, std::size_t first, std::size_t size, Use use) {
    std::uint64_t skipped = 0;
    for (std::size_t i = 0; i < size; ++i) {
        const std::size_t record = first + i;
        if (column.type == FieldType::kInt64) {
            if (!column.present.empty() && column.present[record] == 0) {
                ++skipped;
            } else {
                use(i, column.int64[record]);
            }
        } else if (std::isfinite(column.float64[record])) {
            use(i, column.float64[record] + 0.0);
        } else {
            ++skipped;
        }
    }
    return skipped;
}

}  // namespace llmopt_stream
