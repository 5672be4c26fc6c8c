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

/// Which instructions that loop is made of; the bits of the states are the same.
enum class Registers : std::uint8_t { kNarrow, kWide };
/// kWide where the processor has AVX2.
[[nodiscard]] Registers widest_registers() noexcept;

[[nodiscard]] AddValuesFunction add_values_function(FieldType type, ValueParts parts,
                                                    Registers registers = widest_registers()) noexcept;

}  // namespace llmopt_stream
