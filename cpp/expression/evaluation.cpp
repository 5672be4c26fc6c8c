#include "expression/evaluation.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "record/key.hpp"

namespace llmopt_stream {
namespace {

using Operation = Expression::Operation;

constexpr double kNull = std::numeric_limits<double>::quiet_NaN();

/// Subtraction, unlike std::isfinite, is what compilers vectorise.
bool is_null(double value) { return !(value - value == 0); }

void load(const ValueColumn& column, std::size_t first, std::size_t size, double* float64,
          std::int64_t* int64) {
    if (column.type == FieldType::kFloat64) {
        std::copy_n(column.float64.data() + first, size, float64);
        return;
    }
    std::copy_n(column.int64.data() + first, size, int64);
    for (std::size_t i = 0; i < size; ++i) {
        float64[i] = static_cast<double>(int64[i]);
    }
    if (!column.present.empty()) {
        const std::uint8_t* const present = column.present.data() + first;
        for (std::size_t i = 0; i < size; ++i) {
            float64[i] = present[i] != 0 ? float64[i] : kNull;
        }
    }
}

template <typename Combine>
void combine(double* into, const double* other, std::size_t size, Combine combine) {
    for (std::size_t i = 0; i < size; ++i) {
        into[i] = combine(into[i], other[i]);
    }
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
            case Operation::kColumn: {
                const ValueColumn& column = batch.values[step.column];
                load(column, first, size, next->float64.data(), next->int64.data());
                next->is_exact = column.type == FieldType::kInt64;
                ++next;
                break;
            }
            case Operation::kConstant:
                next->is_exact = std::holds_alternative<std::int64_t>(step.number);
                if (next->is_exact) {
                    std::fill_n(next->int64.data(), size, std::get<std::int64_t>(step.number));
                }
                std::visit(
                    [&](auto number) {
                        std::fill_n(next->float64.data(), size, static_cast<double>(number));
                    },
                    step.number);
                ++next;
                break;
            case Operation::kAdd:
            case Operation::kSubtract:
            case Operation::kMultiply:
            case Operation::kDivide: {
                --next;
                double* const a = next[-1].float64.data();
                const double* const b = next->float64.data();
                next[-1].is_exact = false;
                if (step.operation == Operation::kAdd) {
                    combine(a, b, size, [](double x, double y) { return x + y; });
                } else if (step.operation == Operation::kSubtract) {
                    combine(a, b, size, [](double x, double y) { return x - y; });
                } else if (step.operation == Operation::kMultiply) {
                    combine(a, b, size, [](double x, double y) { return x * y; });
                } else {
                    // Infinity, which is null, would give zero.
                    combine(a, b, size, [](double x, double y) { return is_null(y) ? kNull : x / y; });
                }
                break;
            }
            case Operation::kNegate:
            case Operation::kAbsolute: {
                double* const a = next[-1].float64.data();
                next[-1].is_exact = false;
                for (std::size_t i = 0; i < size; ++i) {
                    a[i] = step.operation == Operation::kNegate ? -a[i] : std::fabs(a[i]);
                }
                break;
            }
            case Operation::kFillNumber: {
                double* const a = next[-1].float64.data();
                const double filler =
                    std::visit([](auto number) { return static_cast<double>(number); }, step.number);
                next[-1].is_exact = false;
                for (std::size_t i = 0; i < size; ++i) {
                    a[i] = is_null(a[i]) ? filler : a[i];
                }
                break;
            }
            case Operation::kNumberOfTruth: {
                Slot& slot = next[-1];
                slot.is_exact = false;
                for (std::size_t i = 0; i < size; ++i) {
                    slot.float64[i] = slot.truth[i] == Truth::kUnknown ? kNull
                                      : slot.truth[i] == Truth::kTrue  ? 1.0
                                                                       : 0.0;
                }
                break;
            }
            case Operation::kKnown: std::fill_n((next++)->truth.data(), size, step.truth); break;
            case Operation::kCompare: {
                --next;
                Slot& a = next[-1];
                const Slot& b = *next;
                with_comparison(step.comparison, [&](const auto& compares) {
                    const auto store = [&](auto holds) {
                        for (std::size_t i = 0; i < size; ++i) {
                            const bool known = !is_null(a.float64[i]) && !is_null(b.float64[i]);
                            a.truth[i] = known ? truth_of(holds(i)) : Truth::kUnknown;
                        }
                    };
                    if (a.is_exact && b.is_exact) {
                        store([&](std::size_t i) { return compares(a.int64[i], b.int64[i]); });
                    } else if (a.is_exact) {
                        store([&](std::size_t i) {
                            return compares(compare_exactly(a.int64[i], b.float64[i]), 0);
                        });
                    } else if (b.is_exact) {
                        store([&](std::size_t i) {
                            return compares(0, compare_exactly(b.int64[i], a.float64[i]));
                        });
                    } else {
                        store([&](std::size_t i) { return compares(a.float64[i], b.float64[i]); });
                    }
                });
                break;
            }
            case Operation::kNumberIsIn: {
                Slot& slot = next[-1];
                for (std::size_t i = 0; i < size; ++i) {
                    slot.truth[i] = is_null(slot.float64[i]) ? Truth::kUnknown
                                    : slot.is_exact ? truth_of(step.numbers->contains(slot.int64[i]))
                                                    : truth_of(step.numbers->contains(slot.float64[i]));
                }
                break;
            }
            case Operation::kNumberIsNull: {
                Slot& slot = next[-1];
                for (std::size_t i = 0; i < size; ++i) {
                    slot.truth[i] = truth_of(is_null(slot.float64[i]));
                }
                break;
            }
            case Operation::kLabel: {
                const std::uint32_t* const codes = batch.labels[step.column].code.data() + first;
                const Truth* const answer = (answers++)->data();
                for (std::size_t i = 0; i < size; ++i) {
                    next->truth[i] = answer[codes[i]];
                }
                ++next;
                break;
            }
            case Operation::kLabelsEqual: {
                const LabelColumn& a = batch.labels[step.column];
                const LabelColumn& b = batch.labels[step.other_column];
                for (std::size_t i = 0; i < size; ++i) {
                    next->truth[i] =
                        are_equal(a.values->key(a.code[first + i]), b.values->key(b.code[first + i]));
                }
                ++next;
                break;
            }
            case Operation::kTruthsEqual:
                --next;
                for (std::size_t i = 0; i < size; ++i) {
                    const Truth a = next[-1].truth[i];
                    const Truth b = next->truth[i];
                    const bool known = a != Truth::kUnknown && b != Truth::kUnknown;
                    next[-1].truth[i] = known ? truth_of(a == b) : Truth::kUnknown;
                }
                break;
            case Operation::kTruthIsNull:
                for (std::size_t i = 0; i < size; ++i) {
                    next[-1].truth[i] = truth_of(next[-1].truth[i] == Truth::kUnknown);
                }
                break;
            case Operation::kFillTruth:
                for (std::size_t i = 0; i < size; ++i) {
                    next[-1].truth[i] = next[-1].truth[i] == Truth::kUnknown ? step.truth : next[-1].truth[i];
                }
                break;
            case Operation::kAnd:
                --next;
                for (std::size_t i = 0; i < size; ++i) {
                    next[-1].truth[i] = std::min(next[-1].truth[i], next->truth[i]);
                }
                break;
            case Operation::kOr:
                --next;
                for (std::size_t i = 0; i < size; ++i) {
                    next[-1].truth[i] = std::max(next[-1].truth[i], next->truth[i]);
                }
                break;
            case Operation::kNot:
                for (std::size_t i = 0; i < size; ++i) {
                    next[-1].truth[i] = static_cast<Truth>(2 - static_cast<int>(next[-1].truth[i]));
                }
                break;
        }
    }
    return stack_.front();
}

}  // namespace llmopt_stream
