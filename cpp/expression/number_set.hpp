#pragma once

#include <cstdint>
#include <variant>
#include <vector>

namespace llmopt_stream {

/// An integer as it is, or a float.
using Number = std::variant<std::int64_t, double>;

/// Finite numbers to look values up in, without rounding either.
class NumberSet {
public:
    explicit NumberSet(const std::vector<Number>& numbers);

    [[nodiscard]] bool contains(std::int64_t value) const noexcept;
    [[nodiscard]] bool contains(double value) const noexcept;

private:
    // Each number in every type that has it, sorted.
    std::vector<std::int64_t> integers_;
    std::vector<double> floats_;
};

}  // namespace llmopt_stream
