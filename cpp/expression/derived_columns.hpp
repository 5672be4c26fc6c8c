#pragma once

#include <cstdint>
#include <vector>

#include "expression/evaluation.hpp"
#include "expression/expression.hpp"
#include "record/record_batch.hpp"

namespace llmopt_stream {

/// Columns that expressions give: values, which stand behind those of the schema and are float64, and
/// selections.
class DerivedColumns {
public:
    DerivedColumns() = default;
    /// Throws Error(kConfiguration) unless values are numbers and selections truths.
    DerivedColumns(std::vector<Expression> values, std::vector<Expression> selections);

    [[nodiscard]] std::size_t values() const noexcept { return values_.size(); }

    /// Valid until the next call.
    void append_to(RecordBatch& batch);

private:
    std::vector<Expression> values_;
    std::vector<Expression> selections_;

    // Scratch, not state.
    Evaluation evaluation_;
    std::vector<std::vector<double>> numbers_;
    std::vector<std::vector<std::uint8_t>> chosen_;
};

}  // namespace llmopt_stream
