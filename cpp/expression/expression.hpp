#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "expression/comparison.hpp"
#include "expression/label_test.hpp"
#include "expression/number_set.hpp"
#include "expression/truth.hpp"

namespace llmopt_stream {

/// What is computed of the columns of a batch for each record: a number or a truth. Steps in postfix
/// order, each of which takes the last results from a stack and leaves its own there.
///
/// Null follows from null: an operation that has a null operand, or a result that is not finite (as a
/// division by zero), is null; a comparison with null is unknown, `and` and `or` are Kleene's.
class Expression {
public:
    enum class Operation : std::uint8_t {
        // Numbers. Results of arithmetic are float64.
        kColumn,    ///< the value column
        kConstant,  ///< the number
        kAdd,
        kSubtract,
        kMultiply,
        kDivide,
        kNegate,
        kAbsolute,
        kFillNumber,     ///< the number where there is none
        kNumberOfTruth,  ///< 1 or 0
        // Truths.
        kKnown,       ///< the truth
        kCompare,     ///< two numbers, by `comparison`; an integer column is not rounded for it
        kNumberIsIn,  ///< in `numbers`
        kNumberIsNull,
        kLabel,        ///< `test` of the label column
        kLabelsEqual,  ///< whether two label columns have the same scalar; unknown where their kinds differ
        kTruthsEqual,
        kTruthIsNull,
        kFillTruth,  ///< the truth where it is unknown
        kAnd,
        kOr,
        kNot,
    };

    struct Step {
        Operation operation;
        /// The value or label column.
        std::size_t column = 0;
        /// The second one of kLabelsEqual.
        std::size_t other_column = 0;
        Comparison comparison = Comparison::kEqual;
        Number number = 0.0;
        Truth truth = Truth::kUnknown;
        std::optional<NumberSet> numbers = std::nullopt;
        std::optional<LabelTest> test = std::nullopt;
    };

    /// Throws Error(kConfiguration) unless the steps leave one number or truth.
    explicit Expression(std::vector<Step> steps);

    [[nodiscard]] const std::vector<Step>& steps() const noexcept { return steps_; }
    /// Whether it is true or false, or else a number.
    [[nodiscard]] bool is_truth() const noexcept { return is_truth_; }
    /// The most results that are on the stack at a time.
    [[nodiscard]] std::size_t stack_size() const noexcept { return stack_size_; }

private:
    std::vector<Step> steps_;
    bool is_truth_ = false;
    std::size_t stack_size_ = 0;
};

}  // namespace llmopt_stream
