#include "pipeline/pipeline.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "record/error.hpp"
#include "state/snapshot_frame.hpp"

namespace llmopt_stream {
namespace {

// Waking threads takes longer than working through fewer records.
constexpr std::size_t kRecordsWorthThreads = 256;

// In a snapshot, the type of a value column that has had nothing but nulls.
constexpr std::uint8_t kOpenType = 0xFF;

}  // namespace

Pipeline::Pipeline(PipelinePlan plan)
    : plan_(std::move(plan)),
      steps_(plan_.steps),
      watermarks_(plan_.watermark),
      projections_(plan_.projections, {}) {
    for (const BranchPlan& branch : plan_.branches) {
        branches_.emplace_back(branch, declared_types());
    }
}

std::vector<FieldType> Pipeline::declared_types() const {
    std::vector<FieldType> types;
    for (const ValueField& field : plan_.schema.values) {
        types.push_back(field.type);
    }
    return types;
}

std::vector<FieldType> Pipeline::current_types() const {
    std::vector<FieldType> types = declared_types();
    for (std::size_t column = 0; types_ && column < types.size(); ++column) {
        types[column] = (*types_)[column].value_or(types[column]);
    }
    return types;
}

void Pipeline::settle_types(const std::vector<std::optional<FieldType>>& types) {
    if (!types_) {
        types_ = types;
        for (Branch& branch : branches_) {
            branch.settle_types(current_types(), plan_.parallelism, watermarks_.current(), now_);
        }
        return;
    }
    const std::vector<FieldType> before = current_types();
    for (std::size_t column = 0; column < types.size(); ++column) {
        if (!(*types_)[column]) {
            (*types_)[column] = types[column];
        }
    }
    if (current_types() != before) {
        finish_store();
        for (Branch& branch : branches_) {
            branch.change_types(current_types(), plan_.parallelism);
        }
    }
}

void Pipeline::settle_types_as_declared() {
    const std::vector<FieldType> types = declared_types();
    settle_types({types.begin(), types.end()});
}

Schema Pipeline::settled_schema() const {
    Schema schema = plan_.schema;
    const std::vector<FieldType> types = current_types();
    for (std::size_t column = 0; column < types.size(); ++column) {
        schema.values[column].type = types[column];
    }
    return schema;
}

void Pipeline::refuse_float(std::size_t column) const {
    const std::string& path = plan_.schema.values[column].path;
    throw Error(ErrorKind::kConfiguration,
                "field '" + path +
                    "': the first batch had integers, this one has floats; declare the type with "
                    ".with_schema({'" +
                    path + "': float})");
}

void Pipeline::take_as_integers(const ValueColumn& from, std::size_t size, std::size_t column) {
    ConvertedValues& to = converted_values_[column];
    to.int64.assign(size, 0);
    to.present.assign(size, 0);
    for (std::size_t record = 0; record < size; ++record) {
        const double value = from.float64[record];
        if (!std::isfinite(value)) {
            continue;
        }
        if (value != std::trunc(value) || value < -0x1p63 || value >= 0x1p63) {
            refuse_float(column);
        }
        to.int64[record] = static_cast<std::int64_t>(value);
        to.present[record] = 1;
    }
    converted_.values[column] = ValueColumn{FieldType::kInt64, {}, to.int64, to.present};
}

const RecordBatch& Pipeline::with_settled_types(const RecordBatch& batch) {
    const std::vector<FieldType> types = current_types();
    bool as_settled = true;
    for (std::size_t column = 0; column < batch.values.size(); ++column) {
        as_settled = as_settled && batch.values[column].type == types[column];
    }
    if (as_settled) {
        return batch;
    }
    converted_ = batch;
    converted_values_.resize(batch.values.size());
    for (std::size_t column = 0; column < batch.values.size(); ++column) {
        const ValueColumn& from = batch.values[column];
        if (from.type == types[column]) {
            continue;
        }
        if (types[column] == FieldType::kInt64) {
            take_as_integers(from, batch.size, column);
            continue;
        }
        std::vector<double>& to = converted_values_[column].float64;
        to.resize(batch.size);
        for (std::size_t record = 0; record < batch.size; ++record) {
            const bool present = from.present.empty() || from.present[record] != 0;
            to[record] =
                present ? static_cast<double>(from.int64[record]) : std::numeric_limits<double>::quiet_NaN();
        }
        converted_.values[column] = ValueColumn{FieldType::kFloat64, to, {}, {}};
    }
    return converted_;
}

bool Pipeline::admits_all() const noexcept {
    const bool guarded = now_ != 0 && (plan_.future_skew || plan_.past_skew);
    return !guarded && std::none_of(branches_.begin(), branches_.end(), [](const Branch& branch) {
        return branch.plan().gap_column.has_value();
    });
}

Malformed Pipeline::why_unusable(const RecordBatch& batch, std::size_t record) const noexcept {
    const Timestamp t = batch.event_time[record];
    if (now_ != 0 && plan_.future_skew && t > add_saturating(now_, *plan_.future_skew)) {
        return Malformed::kTimeAhead;
    }
    if (now_ != 0 && plan_.past_skew && t < add_saturating(now_, -*plan_.past_skew)) {
        return Malformed::kTimeBehind;
    }
    for (const Branch& branch : branches_) {
        if (const auto& gap = branch.plan().gap_column; gap && !session_gap(batch.values[*gap], record)) {
            return Malformed::kGapInvalid;
        }
    }
    return Malformed::kNone;
}

const RecordBatch& Pipeline::admit(const RecordBatch& batch, MalformedCounts& malformed) {
    if (!types_) {
        settle_types_as_declared();
    }
    const RecordBatch& records = with_settled_types(batch);
    refused_.clear();
    if (admits_all()) {
        return records;
    }
    usable_records_.clear();
    for (std::size_t record = 0; record < records.size; ++record) {
        const Malformed why = why_unusable(records, record);
        if (why == Malformed::kNone) {
            usable_records_.push_back(static_cast<std::uint32_t>(record));
        } else {
            ++malformed[static_cast<std::size_t>(why)];
            refused_.emplace_back(records.input_index.empty() ? static_cast<std::uint32_t>(record)
                                                              : records.input_index[record],
                                  why);
        }
    }
    if (usable_records_.size() == records.size) {
        return records;
    }
    usable_ = usable_part_.take(records, usable_records_);
    usable_input_index_ = usable_records_;
    if (!records.input_index.empty()) {
        for (std::uint32_t& index : usable_input_index_) {
            index = records.input_index[index];
        }
    }
    usable_.input_index = usable_input_index_;
    usable_.input_records = records.input_records;
    return usable_;
}

void Pipeline::push(const RecordBatch& admitted, const MalformedCounts& malformed, std::uint32_t partition,
                    std::span<const Timestamp> watermarks) {
    const Timestamp watermark_before = watermarks_.current();
    watermarks_.on_records(admitted.event_time, partition, now_, watermark_after_, watermarks);
    if (admitted.size != 0) {
        measure_delays(admitted, watermark_before);
    }
    BatchClock clock{watermark_after_, counts_.records_in, admitted.input_index, {}};
    const RecordBatch* records = &admitted;
    if (!steps_.empty() || plan_.hands_on) {
        watermark_before_.assign(1, watermark_before);
        watermark_before_.insert(watermark_before_.end(), watermark_after_.begin(), watermark_after_.end());
        watermark_before_.pop_back();
        clock.stream_record = steps_.choose(admitted, watermark_before_);
        steps_.on_watermark(watermarks_.current());
        if (plan_.hands_on) {
            hand_on(admitted, clock.stream_record);
        }
        if (clock.stream_record.size() == admitted.size) {
            clock.stream_record = {};
        } else {
            records = &part_of(admitted, clock.stream_record);
        }
        if (!plan_.projections.empty()) {
            RecordBatch own = *records;
            projections_.append_to(own);
            projected_.assign(own.values.end() - static_cast<std::ptrdiff_t>(plan_.projections.size()),
                              own.values.end());
        }
    }
    const bool worth_threads = plan_.parallelism > 1 && records->size >= kRecordsWorthThreads;
    for (Branch& branch : branches_) {
        branch.on_batch(*records, clock, now_, worth_threads ? &workers() : nullptr);
    }
    counts_.records_in += admitted.input_records;
    for (std::size_t kind = 0; kind < kMalformedKinds; ++kind) {
        counts_.malformed_by_kind[kind] += malformed[kind];
        counts_.malformed += malformed[kind];
    }
}

void Pipeline::hand_on(const RecordBatch& admitted, std::span<const std::uint32_t> chosen) {
    handed_on_.clear();
    for (const std::uint32_t record : chosen) {
        const std::uint32_t input = admitted.input_index.empty() ? record : admitted.input_index[record];
        handed_on_.push_back(
            {input, admitted.event_time[record], watermark_before_[record], watermark_after_[record]});
    }
}

const RecordBatch& Pipeline::part_of(const RecordBatch& admitted, std::span<const std::uint32_t> chosen) {
    chosen_ = chosen_part_.take(admitted, chosen);
    chosen_input_index_.assign(chosen.begin(), chosen.end());
    if (!admitted.input_index.empty()) {
        for (std::uint32_t& index : chosen_input_index_) {
            index = admitted.input_index[index];
        }
    }
    chosen_.input_index = chosen_input_index_;
    chosen_.input_records = admitted.input_records;
    return chosen_;
}

void Pipeline::measure_delays(const RecordBatch& batch, Timestamp watermark_before) {
    greatest_before_.resize(batch.size);
    const Duration bound = plan_.watermark.max_out_of_orderness.value_or(0);
    const auto greatest = [bound](Timestamp watermark) {
        const bool is_measured = watermark != kMinTimestamp && watermark != kMaxTimestamp;
        return is_measured ? add_saturating(watermark, bound) : kMinTimestamp;
    };
    greatest_before_.front() = greatest(watermark_before);
    const auto last = watermark_after_.end() - 1;
    if (watermark_before != kMinTimestamp && *last < kMaxTimestamp - bound) {
        std::transform(watermark_after_.begin(), last, greatest_before_.begin() + 1,
                       [bound](Timestamp watermark) { return watermark + bound; });
    } else {
        std::transform(watermark_after_.begin(), last, greatest_before_.begin() + 1, greatest);
    }
    delays_.add_all(batch.event_time, greatest_before_);
    for (Branch& branch : branches_) {
        branch.measure_delays(batch, greatest_before_);
    }
}

std::vector<std::vector<WindowVerdict>> Pipeline::explain(const RecordBatch& admitted) {
    std::vector<std::vector<WindowVerdict>> verdicts;
    for (Branch& branch : branches_) {
        verdicts.push_back(branch.explain(admitted, now_));
    }
    return verdicts;
}

WorkerPool& Pipeline::workers() {
    if (!workers_) {
        workers_.emplace(plan_.parallelism);
    }
    return *workers_;
}

void Pipeline::advance_watermark(Timestamp watermark) {
    watermarks_.advance(watermark);
    steps_.on_watermark(watermarks_.current());
    for (Branch& branch : branches_) {
        branch.on_watermark(watermarks_.current(), counts_.records_in);
    }
}

void Pipeline::advance_processing_time(Timestamp now) {
    if (now <= now_) {
        return;
    }
    now_ = now;
    watermarks_.on_processing_time(now);
    steps_.on_watermark(watermarks_.current());
    for (Branch& branch : branches_) {
        branch.on_processing_time(now, counts_.records_in);
        branch.on_watermark(watermarks_.current(), counts_.records_in);
    }
}

std::string Pipeline::snapshot(HeldObjects* held) {
    return snapshot(held, [](Branch& branch, ByteWriter& out) { branch.encode(out); });
}

void Pipeline::use_spill(std::shared_ptr<StateBackend> backend, std::size_t most_bytes,
                         const std::string& prefix) {
    spill_ = std::make_unique<Spill>();
    spill_->backend = std::move(backend);
    spill_->most_bytes = most_bytes / plan_.parallelism / branches_.size();
    for (std::size_t branch = 0; branch < branches_.size(); ++branch) {
        branches_[branch].use_spill(*spill_, prefix + std::to_string(branch) + "/");
    }
}

std::string Pipeline::begin_store(const std::string& prefix) {
    finish_store();
    stored_.clear();
    is_storing_ = true;
    std::size_t branches = 0;
    return snapshot(nullptr, [&](Branch& branch, ByteWriter& out) {
        branch.begin_store(stored_, prefix + std::to_string(branches++) + "/", out);
    });
}

bool Pipeline::store(std::size_t budget) {
    is_storing_ = is_storing_ && !std::all_of(branches_.begin(), branches_.end(),
                                              [&](Branch& branch) { return branch.store(budget); });
    return !is_storing_;
}

StateChanges Pipeline::take_stored() { return std::exchange(stored_, StateChanges()); }

void Pipeline::forget_stored() {
    finish_store();
    static_cast<void>(take_stored());
    for (Branch& branch : branches_) {
        branch.forget_stored();
    }
}

template <typename EncodeBranch>
std::string Pipeline::snapshot(HeldObjects* held, EncodeBranch encode_branch) {
    ByteWriter out(held);
    out.write(static_cast<std::uint8_t>(types_.has_value()));
    if (types_) {
        for (const std::optional<FieldType> type : *types_) {
            out.write(type ? static_cast<std::uint8_t>(*type) : kOpenType);
        }
    }
    watermarks_.encode(out);
    out.write(now_);
    out.write(counts_.records_in);
    out.write(counts_.malformed);
    out.write(static_cast<std::uint8_t>(kMalformedKinds));
    for (const std::uint64_t count : counts_.malformed_by_kind) {
        out.write(count);
    }
    delays_.encode(out);
    steps_.encode(out);
    for (Branch& branch : branches_) {
        encode_branch(branch, out);
    }
    return snapshot_frame::seal(plan_.fingerprint, out.bytes());
}

void Pipeline::restore(std::string_view snapshot, const HeldObjects* held, const StoredPieces* pieces) {
    const std::string body = snapshot_frame::open(plan_.fingerprint, snapshot);
    ByteReader in(body, held, pieces);
    if (in.read<std::uint8_t>() != 0) {
        std::vector<std::optional<FieldType>> types;
        for (std::size_t column = 0; column < plan_.schema.values.size(); ++column) {
            const auto type = in.read<std::uint8_t>();
            if (type == kOpenType) {
                types.emplace_back();
                continue;
            }
            if (type > static_cast<std::uint8_t>(FieldType::kInt64)) {
                ByteReader::corrupt("an unknown value type");
            }
            types.emplace_back(static_cast<FieldType>(type));
        }
        settle_types(types);
    }
    watermarks_.decode(in);
    now_ = in.read<Timestamp>();
    counts_.records_in = in.read<std::uint64_t>();
    counts_.malformed = in.read<std::uint64_t>();
    // Later releases may know more kinds; none is taken away.
    const auto kinds = in.read<std::uint8_t>();
    if (kinds > kMalformedKinds) {
        ByteReader::corrupt("kinds of malformed records that this release does not know");
    }
    for (std::size_t kind = 0; kind < kinds; ++kind) {
        counts_.malformed_by_kind[kind] = in.read<std::uint64_t>();
    }
    delays_.decode(in);
    steps_.decode(in);
    for (Branch& branch : branches_) {
        branch.decode(in);
    }
    if (in.remaining() != 0) {
        ByteReader::corrupt("bytes are left over");
    }
}

}  // namespace llmopt_stream
