#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "aggregate/metric_layout.hpp"
#include "aggregate/size_class_pool.hpp"
#include "record/record_batch.hpp"

namespace llmopt_stream {

/// Metric::add() for one type of column and one set of parts: the loop that every value
/// goes through.
using MetricAddFunction = std::uint64_t (*)(std::span<std::byte* const> rows, std::size_t offset,
                                            const ValueColumn& column, std::size_t first,
                                            SizeClassPool& pool);

[[nodiscard]] MetricAddFunction metric_add_function(FieldType type, MetricParts parts) noexcept;

}  // namespace llmopt_stream
