#include "bindings/expressions.hpp"

#include <map>
#include <string>
#include <utility>

#include "record/error.hpp"
#include "record/key.hpp"

namespace llmopt_stream::bindings {
namespace {

using Operation = Expression::Operation;
using Step = Expression::Step;

const std::map<std::string, Operation>& operations_without_arguments() {
    static const std::map<std::string, Operation> kOperations = {
        {"add", Operation::kAdd},
        {"subtract", Operation::kSubtract},
        {"multiply", Operation::kMultiply},
        {"divide", Operation::kDivide},
        {"negate", Operation::kNegate},
        {"absolute", Operation::kAbsolute},
        {"number_of_truth", Operation::kNumberOfTruth},
        {"number_is_null", Operation::kNumberIsNull},
        {"truths_equal", Operation::kTruthsEqual},
        {"truth_is_null", Operation::kTruthIsNull},
        {"and", Operation::kAnd},
        {"or", Operation::kOr},
        {"not", Operation::kNot},
    };
    return kOperations;
}

Comparison comparison_of(const py::handle& sign) {
    static const std::map<std::string, Comparison> kComparisons = {
        {"==", Comparison::kEqual},          {"<", Comparison::kLess},
        {"<=", Comparison::kLessOrEqual},    {">", Comparison::kGreater},
        {">=", Comparison::kGreaterOrEqual},
    };
    return kComparisons.at(sign.cast<std::string>());
}

Number number_of(const py::handle& number) {
    if (py::isinstance<py::float_>(number)) {
        return number.cast<double>();
    }
    return number.cast<std::int64_t>();
}

/// A truth or a text as a label has it.
std::string encoded(const py::handle& scalar) {
    std::string out;
    if (py::isinstance<py::bool_>(scalar)) {
        key_encoding::append_bool(out, scalar.cast<bool>());
    } else {
        key_encoding::append_text(out, scalar.cast<std::string>());
    }
    return out;
}

Step label(const py::handle& column, LabelTest test) {
    return {.operation = Operation::kLabel, .column = column.cast<std::size_t>(), .test = std::move(test)};
}

Step step_of(const py::tuple& said) {
    const auto name = said[0].cast<std::string>();
    if (const auto found = operations_without_arguments().find(name);
        found != operations_without_arguments().end()) {
        return {.operation = found->second};
    }
    const py::object first = said[1];
    if (name == "column") {
        return {.operation = Operation::kColumn, .column = first.cast<std::size_t>()};
    }
    if (name == "constant") {
        return {.operation = Operation::kConstant, .number = number_of(first)};
    }
    if (name == "fill_number") {
        return {.operation = Operation::kFillNumber, .number = number_of(first)};
    }
    if (name == "known") {
        return {.operation = Operation::kKnown, .truth = truth_of(first.cast<bool>())};
    }
    if (name == "fill_truth") {
        return {.operation = Operation::kFillTruth, .truth = truth_of(first.cast<bool>())};
    }
    if (name == "compare") {
        return {.operation = Operation::kCompare, .comparison = comparison_of(first)};
    }
    if (name == "number_is_in") {
        std::vector<Number> numbers;
        for (const py::handle number : first) {
            numbers.push_back(number_of(number));
        }
        return {.operation = Operation::kNumberIsIn, .numbers = NumberSet(numbers)};
    }
    if (name == "label_is_null") {
        return label(first, LabelTest::is_null());
    }
    if (name == "label_is_true") {
        return label(first, LabelTest::is_true());
    }
    if (name == "label_compares") {
        return label(first, LabelTest::compares(comparison_of(said[2]), encoded(said[3])));
    }
    if (name == "label_is_in") {
        std::vector<std::string> scalars;
        for (const py::handle scalar : said[2]) {
            scalars.push_back(encoded(scalar));
        }
        return label(first, LabelTest::is_in(std::move(scalars)));
    }
    if (name == "labels_equal") {
        return {.operation = Operation::kLabelsEqual,
                .column = first.cast<std::size_t>(),
                .other_column = said[2].cast<std::size_t>()};
    }
    throw Error(ErrorKind::kConfiguration, "expression: '" + name + "' is not known");
}

}  // namespace

std::vector<Expression> expressions_of(const py::list& programs) {
    std::vector<Expression> expressions;
    for (const py::handle program : programs) {
        std::vector<Step> steps;
        for (const py::handle step : program) {
            steps.push_back(step_of(py::reinterpret_borrow<py::tuple>(step)));
        }
        expressions.emplace_back(std::move(steps));
    }
    return expressions;
}

}  // namespace llmopt_stream::bindings
