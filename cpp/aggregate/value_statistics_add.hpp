#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "aggregate/size_class_pool.hpp"
#include "aggregate/value_statistics_layout.hpp"
#include "record/record_batch.hpp"

namespace llmopt_stream {

/// ValueStatistics::add() for one type of column and one set of parts: the loop that every value
/// goes through.
using AddValuesFunction = std::uint64_t (*)(std::span<std::byte* const> rows, std::size_t offset,
                                            const ValueColumn& column, std::size_t first,
                                            SizeClassPool& pool);

[[nodiscard]] AddValuesFunction add_values_function(FieldType type, ValueParts parts) noexcept;

}  // namespace llmopt_stream
