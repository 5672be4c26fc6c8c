#include "operator/record_steps.hpp"

#include <algorithm>
#include <functional>
#include <numeric>
#include <utility>

#include "record/error.hpp"
#include "record/key.hpp"

namespace llmopt_stream {

using key_encoding::ScalarKind;

RecordSteps::RecordSteps(std::vector<RecordStep> steps) : steps_(std::move(steps)), left_out_(steps_.size()) {
    for (const RecordStep& step : steps_) {
        if (const auto* const deduplication = std::get_if<DeduplicationStep>(&step)) {
            seen_.emplace_back(deduplication->plan);
        } else if (const auto* const limit = std::get_if<KeyLimitStep>(&step)) {
            limits_.emplace_back(limit->plan);
        } else if (!std::get<FilterStep>(step).condition.is_truth()) {
            throw Error(ErrorKind::kConfiguration, "filter: the condition is no truth");
        }
    }
}

std::span<const std::uint32_t> RecordSteps::choose(const RecordBatch& batch,
                                                   std::span<const Timestamp> watermark_before) {
    chosen_.resize(batch.size);
    std::iota(chosen_.begin(), chosen_.end(), 0U);
    auto seen = seen_.begin();
    auto limit = limits_.begin();
    for (std::size_t step = 0; step < steps_.size(); ++step) {
        const std::size_t before = chosen_.size();
        if (const auto* const filtering = std::get_if<FilterStep>(&steps_[step])) {
            filter(filtering->condition, batch);
        } else if (std::holds_alternative<KeyLimitStep>(steps_[step])) {
            (limit++)->choose(batch, watermark_before, chosen_);
        } else {
            const std::size_t label = std::get<DeduplicationStep>(steps_[step]).label;
            deduplicate(*seen++, batch.labels[label], batch, watermark_before);
        }
        left_out_[step] += before - chosen_.size();
    }
    return chosen_;
}

void RecordSteps::filter(const Expression& condition, const RecordBatch& batch) {
    is_true_.resize(batch.size);
    evaluation_.selection(condition, batch, is_true_);
    std::size_t kept = 0;
    for (const std::uint32_t record : chosen_) {
        chosen_[kept] = record;
        kept += is_true_[record];
    }
    chosen_.resize(kept);
}

void RecordSteps::deduplicate(Deduplication& seen, const LabelColumn& label, const RecordBatch& batch,
                              std::span<const Timestamp> watermark_before) {
    has_value_.resize(label.values->size());
    for (std::uint32_t value = 0; value < label.values->size(); ++value) {
        has_value_[value] = key_encoding::kind_of(label.values->key(value)) != ScalarKind::kNull ? 1 : 0;
    }
    asked_.clear();
    code_.clear();
    time_.clear();
    watermark_.clear();
    for (std::uint32_t at = 0; at < chosen_.size(); ++at) {
        const std::uint32_t record = chosen_[at];
        if (has_value_[label.code[record]] != 0) {
            asked_.push_back(at);
            code_.push_back(label.code[record]);
            time_.push_back(batch.event_time[record]);
            watermark_.push_back(watermark_before[record]);
        }
    }
    accepted_.clear();
    seen.on_batch(code_, *label.values, time_, watermark_, accepted_);
    // A record without a value is like no other, and goes on.
    is_true_.assign(chosen_.size(), 1);
    for (const std::uint32_t at : asked_) {
        is_true_[at] = 0;
    }
    for (const std::uint32_t accepted : accepted_) {
        is_true_[asked_[accepted]] = 1;
    }
    std::size_t kept = 0;
    for (std::size_t at = 0; at < chosen_.size(); ++at) {
        chosen_[kept] = chosen_[at];
        kept += is_true_[at];
    }
    chosen_.resize(kept);
}

void RecordSteps::on_watermark(Timestamp watermark) {
    for (Deduplication& seen : seen_) {
        seen.on_watermark(watermark);
    }
    for (KeyLimit& limit : limits_) {
        limit.on_watermark(watermark);
    }
}

std::size_t RecordSteps::state_bytes() const noexcept {
    return std::transform_reduce(seen_.begin(), seen_.end(), std::size_t{0}, std::plus<>(),
                                 [](const Deduplication& seen) { return seen.state_bytes(); }) +
           std::transform_reduce(limits_.begin(), limits_.end(), std::size_t{0}, std::plus<>(),
                                 [](const KeyLimit& limit) { return limit.state_bytes(); });
}

std::size_t RecordSteps::live() const noexcept {
    return std::transform_reduce(seen_.begin(), seen_.end(), std::size_t{0}, std::plus<>(),
                                 [](const Deduplication& seen) { return seen.live(); });
}

void RecordSteps::encode(ByteWriter& out) const {
    for (const std::uint64_t count : left_out_) {
        out.write(count);
    }
    for (const Deduplication& seen : seen_) {
        seen.encode(out);
    }
    for (const KeyLimit& limit : limits_) {
        limit.encode(out);
    }
}

void RecordSteps::decode(ByteReader& in) {
    for (std::uint64_t& count : left_out_) {
        count = in.read<std::uint64_t>();
    }
    for (Deduplication& seen : seen_) {
        seen.decode(in);
    }
    for (KeyLimit& limit : limits_) {
        limit.decode(in);
    }
}

}  // namespace llmopt_stream
