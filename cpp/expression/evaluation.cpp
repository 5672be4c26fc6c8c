#include "expression/evaluation.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "record/key.hpp"

namespace llmopt_stream {
namespace {

using Operation = Expression::Operation;
using Slot = Evaluation::Slot;

constexpr double kNull = std::numeric_limits<double>::quiet_NaN();

/// A comparison, unlike std::isfinite, is what compilers vectorise.
bool is_null(double value) { return !(std::fabs(value) <= std::numeric_limits<double>::max()); }

double as_float(Number number) {
    return std::visit([](auto value) { return static_cast<double>(value); }, number);
}

void load(const ValueColumn& column, std::size_t first, std::size_t size, Slot& to) {
    to.is_exact = column.type == FieldType::kInt64;
    if (!to.is_exact) {
        std::copy_n(column.float64.data() + first, size, to.float64.data());
        return;
    }
    std::copy_n(column.int64.data() + first, size, to.int64.data());
    for (std::size_t i = 0; i < size; ++i) {
        to.float64[i] = static_cast<double>(to.int64[i]);
    }
    if (!column.present.empty()) {
        const std::uint8_t* const present = column.present.data() + first;
        for (std::size_t i = 0; i < size; ++i) {
            to.float64[i] = present[i] != 0 ? to.float64[i] : kNull;
        }
    }
}

void fill(Number number, std::size_t size, Slot& to) {
    to.is_exact = std::holds_alternative<std::int64_t>(number);
    if (to.is_exact) {
        std::fill_n(to.int64.data(), size, std::get<std::int64_t>(number));
    }
    std::fill_n(to.float64.data(), size, as_float(number));
}

template <typename Change>
void change_numbers(Slot& slot, std::size_t size, Change change) {
    slot.is_exact = false;
    for (std::size_t i = 0; i < size; ++i) {
        slot.float64[i] = change(slot.float64[i]);
    }
}

template <typename Combine>
void combine_numbers(Slot& a, const Slot& b, std::size_t size, Combine combine) {
    a.is_exact = false;
    for (std::size_t i = 0; i < size; ++i) {
        a.float64[i] = combine(a.float64[i], b.float64[i]);
    }
}

void compare(Comparison comparison, Slot& a, const Slot& b, std::size_t size) {
    with_comparison(comparison, [&](const auto& compares) {
        const auto store = [&](auto holds) {
            for (std::size_t i = 0; i < size; ++i) {
                const bool known = !is_null(a.float64[i]) && !is_null(b.float64[i]);
                a.truth[i] = known ? truth_of(holds(i)) : Truth::kUnknown;
            }
        };
        if (a.is_exact && b.is_exact) {
            store([&](std::size_t i) { return compares(a.int64[i], b.int64[i]); });
        } else if (a.is_exact) {
            store([&](std::size_t i) { return compares(compare_exactly(a.int64[i], b.float64[i]), 0); });
        } else if (b.is_exact) {
            store([&](std::size_t i) { return compares(0, compare_exactly(b.int64[i], a.float64[i])); });
        } else {
            store([&](std::size_t i) { return compares(a.float64[i], b.float64[i]); });
        }
    });
}

void look_up(const NumberSet& numbers, Slot& slot, std::size_t size) {
    for (std::size_t i = 0; i < size; ++i) {
        if (is_null(slot.float64[i])) {
            slot.truth[i] = Truth::kUnknown;
        } else {
            slot.truth[i] =
                truth_of(slot.is_exact ? numbers.contains(slot.int64[i]) : numbers.contains(slot.float64[i]));
        }
    }
}

template <typename Change>
void change_truths(Slot& slot, std::size_t size, Change change) {
    for (std::size_t i = 0; i < size; ++i) {
        slot.truth[i] = change(slot.truth[i]);
    }
}

template <typename Combine>
void combine_truths(Slot& a, const Slot& b, std::size_t size, Combine combine) {
    for (std::size_t i = 0; i < size; ++i) {
        a.truth[i] = combine(a.truth[i], b.truth[i]);
    }
}

Truth are_equal(Truth a, Truth b) {
    return a == Truth::kUnknown || b == Truth::kUnknown ? Truth::kUnknown : truth_of(a == b);
}

/// Whether two labels are the same scalar.
Truth are_equal(std::string_view a, std::string_view b) {
    using key_encoding::kind_of;
    const auto kind = kind_of(a);
    if (kind == key_encoding::ScalarKind::kNull || kind != kind_of(b)) {
        return Truth::kUnknown;
    }
    return truth_of(a == b);
}

void compare_labels(const LabelColumn& a, const LabelColumn& b, std::size_t first, std::size_t size,
                    Slot& to) {
    for (std::size_t i = 0; i < size; ++i) {
        to.truth[i] = are_equal(a.values->key(a.code[first + i]), b.values->key(b.code[first + i]));
    }
}

}  // namespace

void Evaluation::ask_labels(const Expression& expression, const RecordBatch& batch) {
    std::size_t asked = 0;
    for (const Expression::Step& step : expression.steps()) {
        if (step.operation != Operation::kLabel) {
            continue;
        }
        if (answers_.size() == asked) {
            answers_.emplace_back();
        }
        std::vector<Truth>& answers = answers_[asked++];
        const KeyDictionary& scalars = *batch.labels[step.column].values;
        answers.clear();
        for (std::uint32_t scalar = 0; scalar < scalars.size(); ++scalar) {
            answers.push_back((*step.test)(scalars.key(scalar)));
        }
    }
}

template <typename Store>
void Evaluation::for_each_portion(const Expression& expression, const RecordBatch& batch, Store store) {
    if (stack_.size() < expression.stack_size()) {
        stack_.resize(expression.stack_size());
    }
    ask_labels(expression, batch);
    for (std::size_t first = 0; first < batch.size; first += kPortion) {
        const std::size_t size = std::min(kPortion, batch.size - first);
        store(run(expression, batch, first, size), first, size);
    }
}

void Evaluation::numbers(const Expression& expression, const RecordBatch& batch, std::span<double> out) {
    for_each_portion(expression, batch, [out](const Slot& result, std::size_t first, std::size_t size) {
        std::copy_n(result.float64.data(), size, out.data() + first);
    });
}

void Evaluation::selection(const Expression& expression, const RecordBatch& batch,
                           std::span<std::uint8_t> out) {
    for_each_portion(expression, batch, [out](const Slot& result, std::size_t first, std::size_t size) {
        for (std::size_t i = 0; i < size; ++i) {
            out[first + i] = result.truth[i] == Truth::kTrue ? 1 : 0;
        }
    });
}

const Evaluation::Slot& Evaluation::run(const Expression& expression, const RecordBatch& batch,
                                        std::size_t first, std::size_t size) {
    Slot* next = stack_.data();  // the first free slot
    auto answers = answers_.begin();
    for (const Expression::Step& step : expression.steps()) {
        switch (step.operation) {
            case Operation::kColumn: load(batch.values[step.column], first, size, *next++); break;
            case Operation::kConstant: fill(step.number, size, *next++); break;
            case Operation::kAdd:
                --next;
                combine_numbers(next[-1], *next, size, [](double a, double b) { return a + b; });
                break;
            case Operation::kSubtract:
                --next;
                combine_numbers(next[-1], *next, size, [](double a, double b) { return a - b; });
                break;
            case Operation::kMultiply:
                --next;
                combine_numbers(next[-1], *next, size, [](double a, double b) { return a * b; });
                break;
            case Operation::kDivide:
                --next;
                // By infinity, which is null, it would be zero.
                combine_numbers(next[-1], *next, size,
                                [](double a, double b) { return is_null(b) ? kNull : a / b; });
                break;
            case Operation::kNegate: change_numbers(next[-1], size, [](double a) { return -a; }); break;
            case Operation::kAbsolute:
                change_numbers(next[-1], size, [](double a) { return std::fabs(a); });
                break;
            case Operation::kFillNumber:
                change_numbers(next[-1], size, [filler = as_float(step.number)](double a) {
                    return is_null(a) ? filler : a;
                });
                break;
            case Operation::kNumberOfTruth: {
                Slot& slot = next[-1];
                slot.is_exact = false;
                for (std::size_t i = 0; i < size; ++i) {
                    const Truth truth = slot.truth[i];
                    slot.float64[i] = truth == Truth::kUnknown ? kNull : truth == Truth::kTrue ? 1.0 : 0.0;
                }
                break;
            }
            case Operation::kKnown: std::fill_n((next++)->truth.data(), size, step.truth); break;
            case Operation::kCompare:
                --next;
                compare(step.comparison, next[-1], *next, size);
                break;
            case Operation::kNumberIsIn: look_up(*step.numbers, next[-1], size); break;
            case Operation::kNumberIsNull:
                for (std::size_t i = 0; i < size; ++i) {
                    next[-1].truth[i] = truth_of(is_null(next[-1].float64[i]));
                }
                break;
            case Operation::kLabel: {
                const std::uint32_t* const codes = batch.labels[step.column].code.data() + first;
                const Truth* const answer = (answers++)->data();
                for (std::size_t i = 0; i < size; ++i) {
                    next->truth[i] = answer[codes[i]];
                }
                ++next;
                break;
            }
            case Operation::kLabelsEqual:
                compare_labels(batch.labels[step.column], batch.labels[step.other_column], first, size,
                               *next++);
                break;
            case Operation::kTruthsEqual:
                --next;
                combine_truths(next[-1], *next, size, [](Truth a, Truth b) { return are_equal(a, b); });
                break;
            case Operation::kTruthIsNull:
                change_truths(next[-1], size, [](Truth a) { return truth_of(a == Truth::kUnknown); });
                break;
            case Operation::kFillTruth:
                change_truths(next[-1], size,
                              [filler = step.truth](Truth a) { return a == Truth::kUnknown ? filler : a; });
                break;
            case Operation::kAnd:
                --next;
                combine_truths(next[-1], *next, size, [](Truth a, Truth b) { return std::min(a, b); });
                break;
            case Operation::kOr:
                --next;
                combine_truths(next[-1], *next, size, [](Truth a, Truth b) { return std::max(a, b); });
                break;
            case Operation::kNot:
                change_truths(next[-1], size,
                              [](Truth a) { return static_cast<Truth>(2 - static_cast<int>(a)); });
                break;
        }
    }
    return stack_.front();
}

}  // namespace llmopt_stream
