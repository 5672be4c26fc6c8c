#include "expression/number_set.hpp"

#include <algorithm>

#include "expression/comparison.hpp"

namespace llmopt_stream {

NumberSet::NumberSet(const std::vector<Number>& numbers) {
    for (const Number& number : numbers) {
        if (const auto* const integer = std::get_if<std::int64_t>(&number)) {
            integers_.push_back(*integer);
            const auto rounded = static_cast<double>(*integer);
            if (compare_exactly(*integer, rounded) == 0) {
                floats_.push_back(rounded);
            }
        } else {
            const double value = std::get<double>(number);
            floats_.push_back(value);
            if (value >= -0x1p63 && value < 0x1p63 && value == std::trunc(value)) {
                integers_.push_back(static_cast<std::int64_t>(value));
            }
        }
    }
    std::sort(integers_.begin(), integers_.end());
    std::sort(floats_.begin(), floats_.end());
}

bool NumberSet::contains(std::int64_t value) const noexcept {
    return std::binary_search(integers_.begin(), integers_.end(), value);
}

bool NumberSet::contains(double value) const noexcept {
    return std::binary_search(floats_.begin(), floats_.end(), value);
}

}  // namespace llmopt_stream
