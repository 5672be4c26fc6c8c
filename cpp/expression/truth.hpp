#pragma once

#include <cstdint>

namespace llmopt_stream {

/// Kleene's three values, in an order in which `and` is the least and `or` the greatest. What is said of
/// null is unknown.
enum class Truth : std::uint8_t { kFalse, kUnknown, kTrue };

[[nodiscard]] constexpr Truth truth_of(bool value) noexcept { return value ? Truth::kTrue : Truth::kFalse; }

}  // namespace llmopt_stream
