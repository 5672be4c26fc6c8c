#include "expression/expression.hpp"

#include <algorithm>
#include <utility>

#include "record/error.hpp"

namespace llmopt_stream {
namespace {

/// What a step takes from the stack, each a truth or each a number, and what it leaves.
struct Effect {
    std::size_t takes;
    bool takes_truths;
    bool leaves_truth;
};

Effect effect_of(Expression::Operation operation) {
    using enum Expression::Operation;
    switch (operation) {
        case kColumn:
        case kConstant: return {0, false, false};
        case kAdd:
        case kSubtract:
        case kMultiply:
        case kDivide: return {2, false, false};
        case kNegate:
        case kAbsolute:
        case kFillNumber: return {1, false, false};
        case kNumberOfTruth: return {1, true, false};
        case kKnown:
        case kLabel:
        case kLabelsEqual: return {0, false, true};
        case kCompare: return {2, false, true};
        case kNumberIsIn:
        case kNumberIsNull: return {1, false, true};
        case kTruthIsNull:
        case kFillTruth:
        case kNot: return {1, true, true};
        case kTruthsEqual:
        case kAnd:
        case kOr: return {2, true, true};
    }
    throw Error(ErrorKind::kConfiguration, "expression: an unknown operation");
}

bool has_what_it_needs(const Expression::Step& step) {
    return (step.operation != Expression::Operation::kNumberIsIn || step.numbers) &&
           (step.operation != Expression::Operation::kLabel || step.test);
}

}  // namespace

Expression::Expression(std::vector<Step> steps) : steps_(std::move(steps)) {
    std::vector<bool> stack;  // whether each is a truth
    bool fits = true;
    for (const Step& step : steps_) {
        const Effect effect = effect_of(step.operation);
        fits = fits && has_what_it_needs(step) && stack.size() >= effect.takes;
        for (std::size_t taken = 0; fits && taken < effect.takes; ++taken) {
            fits = stack.back() == effect.takes_truths;
            stack.pop_back();
        }
        stack.push_back(effect.leaves_truth);
        stack_size_ = std::max(stack_size_, stack.size());
    }
    if (!fits || stack.size() != 1) {
        throw Error(ErrorKind::kConfiguration, "expression: its steps do not fit together");
    }
    is_truth_ = stack.front();
}

}  // namespace llmopt_stream
