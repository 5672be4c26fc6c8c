#include "pipeline/branch.hpp"

#include <cmath>
#include <utility>

namespace llmopt_stream {

std::optional<Duration> session_gap(const ValueColumn& seconds, std::size_t record) noexcept {
    constexpr double kLongest = 2e12;  // sums of a few gaps stay within int64 microseconds
    double value = 0;
    if (seconds.type == FieldType::kFloat64) {
        value = seconds.float64[record];
    } else if (seconds.present.empty() || seconds.present[record] != 0) {
        value = static_cast<double>(seconds.int64[record]);
    }
    if (!(value > 0 && value <= kLongest)) {
        return std::nullopt;
    }
    const Duration micros = std::llround(value * 1e6);
    return micros > 0 ? std::optional(micros) : std::nullopt;
}

Branch::Branch(BranchPlan plan, const std::vector<FieldType>& declared)
    : plan_(std::move(plan)),
      assigner_(assigner_of(plan_.window)),
      series_(plan_.series, plan_.forget_after, plan_.window),
      derived_(plan_.derived, plan_.selections) {
    counts_.skipped_values.resize(plan_.metrics.size());
    output_.skipped_values.resize(plan_.metrics.size());
    // An operator checks what nobody else knows.
    make_result_columns(ShardedOperator(plan_.window, metrics(declared), 1));
}

void Branch::make_result_columns(const ShardedOperator& of) {
    output_.panes.results = of.make_result_columns();
    for (ResultColumn& column : series_.make_result_columns()) {
        output_.panes.results.push_back(std::move(column));
    }
}

Metrics Branch::metrics(std::vector<FieldType> types) const {
    types.insert(types.end(), plan_.derived.size(), FieldType::kFloat64);
    Metrics metrics;
    for (const MetricFactory& make : plan_.metrics) {
        metrics.push_back(make(types));
    }
    return metrics;
}

void Branch::make_operator(const std::vector<FieldType>& types, std::size_t shards) {
    operator_.emplace(plan_.window, metrics(types), shards);
    if (spill_ != nullptr) {
        operator_->use_spill(*spill_, prefix_);
    }
}

void Branch::settle_types(const std::vector<FieldType>& types, std::size_t shards, Timestamp watermark,
                          Timestamp now) {
    make_operator(types, shards);
    make_result_columns(*operator_);
    on_processing_time(now, 0);
    on_watermark(watermark, 0);
}

void Branch::change_types(const std::vector<FieldType>& types, std::size_t shards) {
    // Without a value, the state of a metric is encoded the same for every type.
    HeldObjects held;
    ByteWriter state(&held);
    operator_->encode(state);
    operator_->take_obsolete(obsolete_);
    make_operator(types, shards);
    ByteReader in(state.bytes(), &held);
    operator_->decode(in);
    // Panes not yet taken have sums of no values, and nulls.
    std::vector<ResultColumn> results = operator_->make_result_columns();
    for (std::size_t column = 0; column < results.size(); ++column) {
        ResultColumn& before = output_.panes.results[column];
        if (before.type == results[column].type) {
            continue;
        }
        results[column].int64.assign(before.size(), 0);
        results[column].present = std::move(before.present);
        before = std::move(results[column]);
    }
}

RecordBatch Branch::with_windows(const RecordBatch& batch, Timestamp now) {
    RecordBatch own = batch;
    if (plan_.window.by_clock) {
        now_.assign(batch.size, now);
        own.own_event_time = batch.event_time;
        own.event_time = now_;
    }
    if (plan_.gap_column) {
        gap_.resize(batch.size);
        for (std::size_t record = 0; record < batch.size; ++record) {
            gap_[record] = session_gap(batch.values[*plan_.gap_column], record).value_or(1);
        }
        own.gap = gap_;
    }
    if (plan_.assigner && batch.size != 0) {
        windows_.clear();
        window_ends_.clear();
        plan_.assigner->assign(own.event_time, windows_, window_ends_);
        own.windows = windows_;
        own.window_ends = window_ends_;
    }
    return own;
}

void Branch::on_batch(const RecordBatch& batch, const BatchClock& clock, Timestamp now, WorkerPool* pool) {
    RecordBatch own = with_windows(batch, now);
    derived_.append_to(own);
    own.first_position = clock.first_position;
    BatchClock own_clock = clock;
    if (plan_.window.by_clock) {
        clock_.assign(clock.stream_records(), now);
        own_clock.watermark_after = clock_;
    }
    operator_->on_batch(own, own_clock, pool, output_);
    finish_output(own_clock.watermark_after.empty() ? kMinTimestamp : own_clock.watermark_after.back());
}

void Branch::measure_delays(const RecordBatch& batch, std::span<const Timestamp> greatest_before) noexcept {
    if (plan_.window.by_clock) {
        return;
    }
    if (assigner_ && plan_.window.kind != WindowKind::kCount) {
        measure_delays_after_end(batch.event_time, greatest_before);
    } else if (plan_.window.kind == WindowKind::kSession) {
        for (std::size_t record = 0; record < batch.size; ++record) {
            const Duration gap = plan_.gap_column
                                     ? session_gap(batch.values[*plan_.gap_column], record).value_or(1)
                                     : plan_.window.gap;
            measure_delay_after(add_saturating(batch.event_time[record], gap), greatest_before[record]);
        }
    }
}

void Branch::measure_delays_after_end(std::span<const Timestamp> times,
                                      std::span<const Timestamp> greatest_before) noexcept {
    // While the greatest time lies before open_end, windows that start at open_start or later are open.
    Timestamp open_start = kMinTimestamp;
    Timestamp open_end = kMinTimestamp;
    for (std::size_t record = 0; record < times.size(); ++record) {
        const Timestamp t = times[record];
        const Timestamp greatest = greatest_before[record];
        if (greatest >= open_end) [[unlikely]] {
            open_start = assigner_->next_start_after(add_saturating(greatest, -assigner_->size()));
            open_end = add_saturating(open_start, assigner_->size());
        }
        if (t < open_start) [[unlikely]] {
            measure_delay_after(assigner_->in_a_window(t) ? assigner_->last_end_of(t) : kMaxTimestamp,
                                greatest);
        }
    }
}

void Branch::on_watermark(Timestamp watermark, std::uint64_t position) {
    // The end of the input completes windows by the clock, too.
    if (operator_ && (!plan_.window.by_clock || watermark == kMaxTimestamp)) {
        operator_->on_watermark(watermark, position, output_);
        finish_output(watermark);
    }
}

void Branch::on_processing_time(Timestamp now, std::uint64_t position) {
    if (operator_) {
        operator_->on_processing_time(now, position, output_);
        finish_output(plan_.window.by_clock ? now : kMinTimestamp);
    }
}

void Branch::finish_output(Timestamp watermark) {
    series_.complete(output_.panes);
    series_.forget(watermark);
    counts_.aggregated += std::exchange(output_.aggregated, 0);
    counts_.late += std::exchange(output_.late_records, 0);
    counts_.outside_windows += std::exchange(output_.outside_windows, 0);
    counts_.unfired += std::exchange(output_.unfired, 0);
    for (std::size_t metric = 0; metric < counts_.skipped_values.size(); ++metric) {
        counts_.skipped_values[metric] += std::exchange(output_.skipped_values[metric], 0);
    }
}

PaneTable Branch::take_panes() {
    // Those of a step that failed are not.
    series_.complete(output_.panes);
    PaneTable panes;
    std::swap(panes, output_.panes);
    for (const ResultColumn& column : panes.results) {
        output_.panes.results.push_back(column.without_values());
    }
    std::vector<ResultColumn> ordered;
    for (const std::size_t column : plan_.result_order) {
        ordered.push_back(std::move(panes.results[column]));
    }
    panes.results = std::move(ordered);
    counts_.panes += panes.size();
    return panes;
}

std::vector<LateRecord> Branch::take_late() { return std::exchange(output_.late, {}); }

void Branch::encode_counts(ByteWriter& out) const {
    for (const std::uint64_t count :
         {counts_.aggregated, counts_.late, counts_.outside_windows, counts_.unfired, counts_.panes}) {
        out.write(count);
    }
    for (const std::uint64_t count : counts_.skipped_values) {
        out.write(count);
    }
    delays_after_end_.encode(out);
}

void Branch::encode(ByteWriter& out) const {
    encode_counts(out);
    if (operator_) {
        operator_->encode(out);
        output_.panes.encode(out);
        series_.encode(out);
    }
}

void Branch::begin_store(StateChanges& changes, const std::string& prefix, ByteWriter& out) {
    for (std::string& name : obsolete_) {
        changes.del(std::move(name));
    }
    obsolete_.clear();
    encode_counts(out);
    if (operator_) {
        operator_->begin_store(changes, prefix, out);
        output_.panes.encode(out);
        series_.encode(out);
    }
}

void Branch::forget_stored() {
    obsolete_.clear();
    if (operator_) {
        operator_->forget_stored();
    }
}

void Branch::decode(ByteReader& in) {
    for (std::uint64_t* count :
         {&counts_.aggregated, &counts_.late, &counts_.outside_windows, &counts_.unfired, &counts_.panes}) {
        *count = in.read<std::uint64_t>();
    }
    for (std::uint64_t& count : counts_.skipped_values) {
        count = in.read<std::uint64_t>();
    }
    delays_after_end_.decode(in);
    if (operator_) {
        operator_->decode(in);
        output_.panes.decode(in);
        series_.decode(in);
    }
}

}  // namespace llmopt_stream
