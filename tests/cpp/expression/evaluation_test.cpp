#include "expression/evaluation.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <deque>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "expression/derived_columns.hpp"
#include "record/error.hpp"
#include "record/key.hpp"

namespace llmopt_stream {
namespace {

using enum Expression::Operation;
using Step = Expression::Step;
using Steps = std::vector<Step>;
using Truths = std::vector<Truth>;

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
constexpr double kInf = std::numeric_limits<double>::infinity();
constexpr Truth kF = Truth::kFalse;
constexpr Truth kU = Truth::kUnknown;
constexpr Truth kT = Truth::kTrue;

std::string encoded(const KeyValue& value) {
    std::string out;
    key_encoding::append(out, value);
    return out;
}

/// A batch of columns in memory.
class Columns {
public:
    Columns& floats(std::vector<double> values) {
        storage_->floats.push_back(std::move(values));
        batch_.values.push_back({FieldType::kFloat64, storage_->floats.back(), {}, {}});
        batch_.size = storage_->floats.back().size();
        return *this;
    }
    Columns& integers(const std::vector<std::optional<std::int64_t>>& values) {
        std::vector<std::int64_t>& integers = storage_->integers.emplace_back();
        std::vector<std::uint8_t>& present = storage_->present.emplace_back();
        for (const auto& value : values) {
            integers.push_back(value.value_or(0));
            present.push_back(value ? 1 : 0);
        }
        batch_.values.push_back({FieldType::kInt64, {}, integers, present});
        batch_.size = values.size();
        return *this;
    }
    Columns& labels(const std::vector<KeyValue>& values) {
        std::vector<std::uint32_t>& codes = storage_->codes.emplace_back();
        KeyDictionary& dictionary = storage_->dictionaries.emplace_back();
        for (const KeyValue& value : values) {
            codes.push_back(dictionary.intern(encoded(value)));
        }
        batch_.labels.push_back({codes, &dictionary});
        batch_.size = values.size();
        return *this;
    }
    [[nodiscard]] const RecordBatch& batch() const { return batch_; }

    [[nodiscard]] std::vector<std::optional<double>> numbers(Steps steps) const {
        std::vector<double> out(batch_.size);
        Evaluation().numbers(Expression(std::move(steps)), batch_, out);
        std::vector<std::optional<double>> finite;
        for (const double value : out) {
            finite.push_back(std::isfinite(value) ? std::optional(value) : std::nullopt);
        }
        return finite;
    }
    [[nodiscard]] Truths truths(const Steps& steps) const {
        // What is neither true nor false is unknown.
        Steps negated = steps;
        negated.push_back({.operation = kNot});
        std::vector<std::uint8_t> is_true(batch_.size);
        std::vector<std::uint8_t> is_false(batch_.size);
        Evaluation evaluation;
        evaluation.selection(Expression(steps), batch_, is_true);
        evaluation.selection(Expression(negated), batch_, is_false);
        Truths truths;
        for (std::size_t i = 0; i < batch_.size; ++i) {
            truths.push_back(is_true[i] != 0 ? kT : is_false[i] != 0 ? kF : kU);
        }
        return truths;
    }

private:
    /// The batch has views of it; elements stay where they are.
    struct Storage {
        std::deque<std::vector<double>> floats;
        std::deque<std::vector<std::int64_t>> integers;
        std::deque<std::vector<std::uint8_t>> present;
        std::deque<std::vector<std::uint32_t>> codes;
        std::deque<KeyDictionary> dictionaries;
    };

    RecordBatch batch_;
    std::shared_ptr<Storage> storage_ = std::make_shared<Storage>();
};

using Numbers = std::vector<std::optional<double>>;

Step column(std::size_t index) { return {.operation = kColumn, .column = index}; }
Step constant(Number number) { return {.operation = kConstant, .number = number}; }
Step compare(Comparison comparison) { return {.operation = kCompare, .comparison = comparison}; }
Step label(std::size_t index, LabelTest test) {
    return {.operation = kLabel, .column = index, .test = std::move(test)};
}
Step step(Expression::Operation operation) { return {.operation = operation}; }

TEST(Evaluation, ArithmeticIsNullWhereAnOperandIsOrTheResultIsNotFinite) {
    const auto columns =
        Columns().floats({6, kNan, 1, 1, -kInf, 1e308, 0}).floats({3, 1, kInf, 0, 2, 1e308, 0});
    const auto with = [&](Expression::Operation operation) {
        return columns.numbers({column(0), column(1), step(operation)});
    };
    const auto null = std::nullopt;
    EXPECT_EQ(with(kAdd), (Numbers{9, null, null, 1, null, null, 0}));
    EXPECT_EQ(with(kSubtract), (Numbers{3, null, null, 1, null, 0, 0}));
    EXPECT_EQ(with(kMultiply), (Numbers{18, null, null, 0, null, null, 0}));
    EXPECT_EQ(with(kDivide), (Numbers{2, null, null, null, null, 1, null}));
    EXPECT_EQ(columns.numbers({column(0), step(kNegate)}), (Numbers{-6, null, -1, -1, null, -1e308, 0}));
    EXPECT_EQ(columns.numbers({column(0), step(kNegate), step(kAbsolute)}),
              (Numbers{6, null, 1, 1, null, 1e308, 0}));
    EXPECT_EQ(columns.numbers({column(0), {.operation = kFillNumber, .number = std::int64_t{5}}}),
              (Numbers{6, 5, 1, 1, 5, 1e308, 0}));
}

TEST(Evaluation, IntegersAreComparedWithoutRounding) {
    constexpr std::int64_t kBig = (std::int64_t{1} << 53) + 1;  // no double
    const auto columns = Columns()
                             .integers({kBig, kBig - 1, std::nullopt, -3})
                             .integers({kBig, kBig, kBig, -3})
                             .floats({0x1p53, 0x1p53, 0, -2.5});
    EXPECT_EQ(columns.truths({column(0), column(1), compare(Comparison::kEqual)}), (Truths{kT, kF, kU, kT}));
    EXPECT_EQ(columns.truths({column(0), constant(kBig), compare(Comparison::kLess)}),
              (Truths{kF, kT, kU, kT}));
    EXPECT_EQ(columns.truths({column(0), column(2), compare(Comparison::kGreater)}),
              (Truths{kT, kF, kU, kF}));
    EXPECT_EQ(columns.truths({column(2), column(0), compare(Comparison::kLessOrEqual)}),
              (Truths{kT, kT, kU, kF}));
    EXPECT_EQ(columns.truths({column(2), column(0), compare(Comparison::kGreaterOrEqual)}),
              (Truths{kF, kT, kU, kT}));
    const NumberSet set({kBig, -2.5, -3.0});
    EXPECT_EQ(columns.truths({column(0), {.operation = kNumberIsIn, .numbers = set}}),
              (Truths{kT, kF, kU, kT}));
    EXPECT_EQ(columns.truths({column(2), {.operation = kNumberIsIn, .numbers = set}}),
              (Truths{kF, kF, kF, kT}));
}

TEST(Evaluation, ComparisonsWithNullAreUnknown) {
    const auto columns = Columns().floats({1, kNan, 2, kInf});
    const auto with = [&](Comparison comparison) {
        return columns.truths({column(0), constant(1.0), compare(comparison)});
    };
    EXPECT_EQ(with(Comparison::kEqual), (Truths{kT, kU, kF, kU}));
    EXPECT_EQ(with(Comparison::kLess), (Truths{kF, kU, kF, kU}));
    EXPECT_EQ(with(Comparison::kLessOrEqual), (Truths{kT, kU, kF, kU}));
    EXPECT_EQ(with(Comparison::kGreater), (Truths{kF, kU, kT, kU}));
    EXPECT_EQ(with(Comparison::kGreaterOrEqual), (Truths{kT, kU, kT, kU}));
    EXPECT_EQ(columns.truths({column(0), step(kNumberIsNull)}), (Truths{kF, kT, kF, kT}));
}

TEST(Evaluation, LogicIsKleenes) {
    const KeyValue null;
    const auto columns = Columns()
                             .labels({true, true, true, false, false, false, null, null, null})
                             .labels({true, false, null, true, false, null, true, false, null});
    const Step a = label(0, LabelTest::is_true());
    const Step b = label(1, LabelTest::is_true());
    EXPECT_EQ(columns.truths({a, b, step(kAnd)}), (Truths{kT, kF, kU, kF, kF, kF, kU, kF, kU}));
    EXPECT_EQ(columns.truths({a, b, step(kOr)}), (Truths{kT, kT, kT, kT, kF, kU, kT, kU, kU}));
    EXPECT_EQ(columns.truths({a, b, step(kTruthsEqual)}), (Truths{kT, kF, kU, kF, kT, kU, kU, kU, kU}));
    EXPECT_EQ(columns.truths({a, step(kNot)}), (Truths{kF, kF, kF, kT, kT, kT, kU, kU, kU}));
    EXPECT_EQ(columns.truths({a, step(kTruthIsNull)}), (Truths{kF, kF, kF, kF, kF, kF, kT, kT, kT}));
    EXPECT_EQ(columns.truths({a, {.operation = kFillTruth, .truth = kF}}),
              (Truths{kT, kT, kT, kF, kF, kF, kF, kF, kF}));
    EXPECT_EQ(columns.numbers({b, step(kNumberOfTruth)})[1], 0.0);
    EXPECT_EQ(columns.numbers({b, step(kNumberOfTruth)})[2], std::nullopt);
    EXPECT_EQ(columns.numbers({b, step(kNumberOfTruth)})[3], 1.0);
}

TEST(Evaluation, LabelsAreComparedWithTheirKindOnly) {
    const KeyValue null;
    const auto text = [](const char* value) { return KeyValue{std::string(value)}; };
    const auto columns = Columns()
                             .labels({text("b"), text("a"), text(""), std::int64_t{1}, true, null})
                             .labels({text("b"), text("b"), null, 1.0, std::int64_t{1}, null});
    const auto with = [&](LabelTest test) { return columns.truths({label(0, std::move(test))}); };
    EXPECT_EQ(with(LabelTest::compares(Comparison::kEqual, encoded(text("b")))),
              (Truths{kT, kF, kF, kU, kU, kU}));
    EXPECT_EQ(with(LabelTest::compares(Comparison::kLess, encoded(text("b")))),
              (Truths{kF, kT, kT, kU, kU, kU}));
    EXPECT_EQ(with(LabelTest::is_in({encoded(text("x")), encoded(text("b")), encoded(text(""))})),
              (Truths{kT, kF, kT, kU, kU, kU}));
    EXPECT_EQ(with(LabelTest::is_in({})), (Truths{kF, kF, kF, kF, kF, kU}));
    EXPECT_EQ(with(LabelTest::is_null()), (Truths{kF, kF, kF, kF, kF, kT}));
    EXPECT_EQ(with(LabelTest::is_true()), (Truths{kU, kU, kU, kU, kT, kU}));
    EXPECT_EQ(columns.truths({{.operation = kLabelsEqual, .column = 0, .other_column = 1}}),
              (Truths{kT, kF, kU, kT, kU, kU}));
}

TEST(Evaluation, BatchesOfAnySizeAreEvaluatedWhole) {
    Evaluation evaluation;
    const Expression doubled({column(0), constant(2.0), step(kMultiply)});
    const Expression selected({label(0, LabelTest::compares(Comparison::kEqual, encoded(std::string("x"))))});
    for (const std::size_t size : {0U, 1U, 511U, 512U, 513U, 5000U}) {
        std::vector<double> values;
        std::vector<KeyValue> labels;
        for (std::size_t i = 0; i < size; ++i) {
            values.push_back(static_cast<double>(i));
            labels.emplace_back(std::string(i % 3 == 0 ? "x" : "y"));
        }
        const auto columns = Columns().floats(values).labels(labels);
        std::vector<double> numbers(size);
        std::vector<std::uint8_t> selection(size);
        evaluation.numbers(doubled, columns.batch(), numbers);
        evaluation.selection(selected, columns.batch(), selection);
        for (std::size_t i = 0; i < size; ++i) {
            ASSERT_EQ(numbers[i], 2.0 * static_cast<double>(i));
            ASSERT_EQ(selection[i], i % 3 == 0 ? 1 : 0);
        }
    }
}

TEST(DerivedColumns, StandBehindThoseOfTheSchema) {
    const auto columns = Columns().floats({1, 2, 3});
    DerivedColumns derived({Expression({column(0), step(kNegate)})},
                           {Expression({column(0), constant(2.0), compare(Comparison::kLess)})});
    RecordBatch batch = columns.batch();
    derived.append_to(batch);
    ASSERT_EQ(batch.values.size(), 2U);
    EXPECT_EQ(batch.values[1].type, FieldType::kFloat64);
    EXPECT_EQ(batch.values[1].float64[2], -3.0);
    ASSERT_EQ(batch.selections.size(), 1U);
    EXPECT_EQ(std::vector<std::uint8_t>(batch.selections[0].begin(), batch.selections[0].end()),
              (std::vector<std::uint8_t>{1, 0, 0}));
}

TEST(Expression, RefusesStepsThatDoNotFit) {
    const Step truth = {.operation = kKnown, .truth = kT};
    for (const Steps& steps : std::vector<Steps>{
             {},
             {step(kAdd)},
             {column(0), step(kAdd)},
             {column(0), column(1)},
             {column(0), step(kNot)},
             {truth, step(kNegate)},
             {truth, column(0), step(kAnd)},
             {column(0), step(kNumberIsIn)},
             {step(kLabel)},
         }) {
        EXPECT_THROW(Expression{steps}, Error);
    }
    EXPECT_THROW(DerivedColumns({Expression({truth})}, {}), Error);
    EXPECT_THROW(DerivedColumns({}, {Expression({column(0)})}), Error);
}

}  // namespace
}  // namespace llmopt_stream
