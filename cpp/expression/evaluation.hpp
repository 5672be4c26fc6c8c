#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "expression/expression.hpp"
#include "record/record_batch.hpp"

namespace llmopt_stream {

/// Evaluates expressions over the columns of a batch, a portion of the records at a time so that what is
/// between the steps stays in the first-level cache. What is asked of labels is asked once of each scalar
/// of a batch. Scratch, not state; one thread at a time.
class Evaluation {
public:
    /// A number for each record of the batch; NaN or ±Inf where it is null. Requires an expression that is
    /// no truth.
    void numbers(const Expression& expression, const RecordBatch& batch, std::span<double> out);
    /// 1 where it is true, else 0. Requires a truth.
    void selection(const Expression& expression, const RecordBatch& batch, std::span<std::uint8_t> out);

    static constexpr std::size_t kPortion = 512;

    /// A result on the stack, for a portion of the records.
    struct Slot {
        alignas(64) std::array<double, kPortion> float64;
        /// The same numbers before rounding, if `is_exact`; anything where they are null.
        alignas(64) std::array<std::int64_t, kPortion> int64;
        alignas(64) std::array<Truth, kPortion> truth;
        bool is_exact = false;
    };

private:
    template <typename Store>
    void for_each_portion(const Expression& expression, const RecordBatch& batch, Store store);
    void ask_labels(const Expression& expression, const RecordBatch& batch);
    /// The result of the records [first, first + size).
    [[nodiscard]] const Slot& run(const Expression& expression, const RecordBatch& batch, std::size_t first,
                                  std::size_t size);

    std::vector<Slot> stack_;
    /// Of the steps that ask a label, in order: the answer for each scalar in its dictionary.
    std::vector<std::vector<Truth>> answers_;
};

}  // namespace llmopt_stream
