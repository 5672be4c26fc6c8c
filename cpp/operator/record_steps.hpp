#pragma once

#include <cstdint>
#include <span>
#include <variant>
#include <vector>

#include "expression/evaluation.hpp"
#include "expression/expression.hpp"
#include "operator/deduplication.hpp"
#include "operator/key_limit.hpp"
#include "record/record_batch.hpp"

namespace llmopt_stream {

/// Records go on of which the condition is true.
struct FilterStep {
    Expression condition;
};

/// Of records with the same value of a label, the earliest by arrival goes on; and every one without a value.
struct DeduplicationStep {
    std::size_t label = 0;
    DeduplicationPlan plan;
};

/// Records of more keys than may be live are shed.
struct KeyLimitStep {
    KeyLimitPlan plan;
};

using RecordStep = std::variant<FilterStep, DeduplicationStep, KeyLimitStep>;

/// What happens to records before anything is computed of them, in order: which of them go on.
class RecordSteps {
public:
    explicit RecordSteps(std::vector<RecordStep> steps);

    [[nodiscard]] bool empty() const noexcept { return steps_.empty(); }

    /// The records of a batch that go on, each once and in order. `watermark_before` is the watermark before
    /// each record. Valid until the next call.
    [[nodiscard]] std::span<const std::uint32_t> choose(const RecordBatch& batch,
                                                        std::span<const Timestamp> watermark_before);
    void on_watermark(Timestamp watermark);

    /// How many records each step has left out.
    [[nodiscard]] const std::vector<std::uint64_t>& left_out() const noexcept { return left_out_; }
    [[nodiscard]] std::size_t state_bytes() const noexcept;
    /// How many values the steps remember.
    [[nodiscard]] std::size_t live() const noexcept;

    void encode(ByteWriter& out) const;
    void decode(ByteReader& in);

private:
    void filter(const Expression& condition, const RecordBatch& batch);
    void deduplicate(Deduplication& seen, const LabelColumn& label, const RecordBatch& batch,
                     std::span<const Timestamp> watermark_before);

    std::vector<RecordStep> steps_;
    /// One for each deduplicating step, in order.
    std::vector<Deduplication> seen_;
    /// One for each limiting step, in order.
    std::vector<KeyLimit> limits_;
    std::vector<std::uint64_t> left_out_;

    // Scratch, not state.
    Evaluation evaluation_;
    std::vector<std::uint32_t> chosen_;
    std::vector<std::uint8_t> is_true_;
    std::vector<std::uint8_t> has_value_;
    std::vector<std::uint32_t> asked_;
    std::vector<std::uint32_t> code_;
    std::vector<Timestamp> time_;
    std::vector<Timestamp> watermark_;
    std::vector<std::uint32_t> accepted_;
};

}  // namespace llmopt_stream
