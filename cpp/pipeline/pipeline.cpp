#include "pipeline/pipeline.hpp"

#include <limits>
#include <utility>

#include "record/error.hpp"
#include "state/snapshot_frame.hpp"

namespace llmopt_stream {
namespace {

// Waking threads takes longer than working through fewer records.
constexpr std::size_t kRecordsWorthThreads = 256;

}  // namespace

Pipeline::Pipeline(PipelinePlan plan)
    : plan_(std::move(plan)), watermarks_(plan_.max_out_of_orderness, plan_.watermark_interval) {
    counts_.skipped_values.resize(plan_.metrics.size());
    output_.skipped_values.resize(plan_.metrics.size());
}

std::vector<FieldType> Pipeline::declared_types() const {
    std::vector<FieldType> types;
    for (const ValueField& field : plan_.schema.values) {
        types.push_back(field.type);
    }
    return types;
}

void Pipeline::settle_types(const std::vector<FieldType>& types) {
    if (types_) {
        for (std::size_t column = 0; column < types.size(); ++column) {
            if ((*types_)[column] == FieldType::kInt64 && types[column] == FieldType::kFloat64) {
                throw Error(ErrorKind::kConfiguration,
                            "field '" + plan_.schema.values[column].path +
                                "': the first batch had integers, this one has floats; declare the type with "
                                ".with_schema({'" +
                                plan_.schema.values[column].path + "': float})");
            }
        }
        return;
    }
    types_ = types;
    std::vector<MetricRow::Source> sources;
    for (const MetricPlan& metric : plan_.metrics) {
        sources.push_back({Metric(types[metric.column], metric.aggregations), metric.column});
    }
    operator_.emplace(plan_.window, sources, plan_.parallelism);
    output_.panes.results = operator_->make_result_columns();
}

ShardedOperator& Pipeline::window_operator() {
    if (!types_) {
        settle_types(declared_types());
    }
    return *operator_;
}

const RecordBatch& Pipeline::with_settled_types(const RecordBatch& batch) {
    bool as_settled = true;
    for (std::size_t column = 0; column < batch.values.size(); ++column) {
        as_settled = as_settled && batch.values[column].type == (*types_)[column];
    }
    if (as_settled) {
        return batch;
    }
    converted_ = batch;
    converted_values_.resize(batch.values.size());
    for (std::size_t column = 0; column < batch.values.size(); ++column) {
        const ValueColumn& from = batch.values[column];
        if (from.type == (*types_)[column]) {
            continue;
        }
        std::vector<double>& to = converted_values_[column];
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

void Pipeline::push(const RecordBatch& batch, const std::array<std::uint64_t, kMalformedKinds>& malformed,
                    std::uint32_t partition, std::span<const Timestamp> watermarks) {
    ShardedOperator& windows = window_operator();
    const RecordBatch& records = with_settled_types(batch);
    watermarks_.on_records(records.event_time, partition, watermark_after_, watermarks);
    const bool worth_threads = plan_.parallelism > 1 && records.size >= kRecordsWorthThreads;
    windows.on_batch(records, {watermark_after_, counts_.records_in, records.input_index, {}},
                     worth_threads ? &workers() : nullptr, output_);
    counts_.records_in += batch.input_records;
    for (std::size_t kind = 0; kind < kMalformedKinds; ++kind) {
        counts_.malformed_by_kind[kind] += malformed[kind];
        counts_.malformed += malformed[kind];
    }
    count_output();
}

WorkerPool& Pipeline::workers() {
    if (!workers_) {
        workers_.emplace(plan_.parallelism);
    }
    return *workers_;
}

void Pipeline::advance_watermark(Timestamp watermark) {
    watermarks_.advance(watermark);
    window_operator().on_watermark(watermarks_.current(), counts_.records_in, output_);
    count_output();
}

void Pipeline::count_output() {
    counts_.aggregated += std::exchange(output_.aggregated, 0);
    counts_.late += std::exchange(output_.late_records, 0);
    counts_.outside_windows += std::exchange(output_.outside_windows, 0);
    for (std::size_t metric = 0; metric < counts_.skipped_values.size(); ++metric) {
        counts_.skipped_values[metric] += std::exchange(output_.skipped_values[metric], 0);
    }
}

PaneTable Pipeline::take_panes() {
    PaneTable panes;
    panes.results = window_operator().make_result_columns();
    std::swap(panes, output_.panes);
    counts_.panes += panes.size();
    return panes;
}

std::vector<LateRecord> Pipeline::take_late() { return std::exchange(output_.late, {}); }

std::string Pipeline::snapshot() {
    (void)window_operator();  // settles the types
    ByteWriter out;
    for (const FieldType type : *types_) {
        out.write(static_cast<std::uint8_t>(type));
    }
    watermarks_.encode(out);
    for (const std::uint64_t count : {counts_.records_in, counts_.aggregated, counts_.late,
                                      counts_.outside_windows, counts_.malformed, counts_.panes}) {
        out.write(count);
    }
    for (const std::uint64_t count : counts_.skipped_values) {
        out.write(count);
    }
    for (const std::uint64_t count : counts_.malformed_by_kind) {
        out.write(count);
    }
    operator_->encode(out);
    output_.panes.encode(out);
    return snapshot_frame::seal(plan_.fingerprint, out.bytes());
}

void Pipeline::restore(std::string_view snapshot) {
    const std::string body = snapshot_frame::open(plan_.fingerprint, snapshot);
    ByteReader in(body);
    std::vector<FieldType> types;
    for (std::size_t column = 0; column < plan_.schema.values.size(); ++column) {
        const auto type = in.read<std::uint8_t>();
        if (type > static_cast<std::uint8_t>(FieldType::kInt64)) {
            ByteReader::corrupt("an unknown value type");
        }
        types.push_back(static_cast<FieldType>(type));
    }
    settle_types(types);
    watermarks_.decode(in);
    for (std::uint64_t* count : {&counts_.records_in, &counts_.aggregated, &counts_.late,
                                 &counts_.outside_windows, &counts_.malformed, &counts_.panes}) {
        *count = in.read<std::uint64_t>();
    }
    for (std::uint64_t& count : counts_.skipped_values) {
        count = in.read<std::uint64_t>();
    }
    for (std::uint64_t& count : counts_.malformed_by_kind) {
        count = in.read<std::uint64_t>();
    }
    operator_->decode(in);
    output_.panes.decode(in);
    if (in.remaining() != 0) {
        ByteReader::corrupt("bytes are left over");
    }
}

}  // namespace llmopt_stream
