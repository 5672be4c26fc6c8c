#include "expression/derived_columns.hpp"

#include <algorithm>
#include <utility>

#include "record/error.hpp"

namespace llmopt_stream {

DerivedColumns::DerivedColumns(std::vector<Expression> values, std::vector<Expression> selections)
    : values_(std::move(values)),
      selections_(std::move(selections)),
      numbers_(values_.size()),
      chosen_(selections_.size()) {
    const auto is_truth = [](const Expression& expression) { return expression.is_truth(); };
    if (std::any_of(values_.begin(), values_.end(), is_truth) ||
        !std::all_of(selections_.begin(), selections_.end(), is_truth)) {
        throw Error(ErrorKind::kConfiguration, "expression: a value is a number, and a selection is a truth");
    }
}

void DerivedColumns::append_to(RecordBatch& batch) {
    // All see the columns of the schema only.
    for (std::size_t i = 0; i < values_.size(); ++i) {
        numbers_[i].resize(batch.size);
        evaluation_.numbers(values_[i], batch, numbers_[i]);
    }
    for (std::size_t i = 0; i < selections_.size(); ++i) {
        chosen_[i].resize(batch.size);
        evaluation_.selection(selections_[i], batch, chosen_[i]);
        batch.selections.emplace_back(chosen_[i]);
    }
    for (const std::vector<double>& numbers : numbers_) {
        batch.values.push_back({FieldType::kFloat64, numbers, {}, {}});
    }
}

}  // namespace llmopt_stream
