#include "pipeline/pipeline.hpp"

#include <algorithm>
#include <cmath>
#include <optional>
#include <string>
#include <tuple>
#include <unordered_set>
#include <utility>
#include <vector>

#include "bindings/bindings.hpp"
#include "bindings/branches.hpp"
#include "bindings/expressions.hpp"
#include "bindings/kafka.hpp"
#include "bindings/plan.hpp"
#include "bindings/python_records.hpp"
#include "bindings/results.hpp"
#include "pipeline/parallel_ndjson.hpp"
#include "record/batch_builder.hpp"
#include "record/error.hpp"
#include "source/arrow_reader.hpp"
#include "source/json_decoder.hpp"
#include "source/ndjson_reader.hpp"
#include "state/checkpoint_writer.hpp"

namespace llmopt_stream::bindings {
namespace {

constexpr std::size_t kRecordsPerBatch = 4096;
constexpr std::array kMalformedNames = {
    "",           "syntax",          "not_an_object", "too_deep",     "bad_utf8",
    "too_large",  "duplicate_field", "time_missing",  "time_invalid", "key_not_scalar",
    "time_ahead", "time_behind",     "gap_invalid",   "tombstone",    "undecodable"};
constexpr std::array kFateNames = {"taken", "fires at once", "expired"};
static_assert(kMalformedNames.size() == kMalformedKinds);

// Of what a checkpoint has beside pieces, behind the prefix.
constexpr const char* kHeaderName = "state";

class PiecesOfBackend final : public StoredPieces {
public:
    explicit PiecesOfBackend(StateBackend& backend) : backend_(&backend) {}

    [[nodiscard]] std::string get(const std::string& name) const override {
        std::optional<std::string> piece = backend_->get(name);
        if (!piece) {
            throw Error(ErrorKind::kCheckpoint, "checkpoint is damaged: a piece of it is not there");
        }
        used_.insert(name);
        return *std::move(piece);
    }
    [[nodiscard]] bool was_used(const std::string& name) const { return used_.contains(name); }

private:
    StateBackend* backend_;
    mutable std::unordered_set<std::string> used_;
};

/// A pipeline with the decoders that its schema needs.
class Session {
public:
    /// `watermarks_of(partition, event times)`, where not None, gives a partition's own watermark
    /// after each of these records, as microseconds.
    Session(PipelinePlan plan, py::object watermarks_of)
        : pipeline_(std::move(plan)),
          json_(schema()),
          records_(schema()),
          watermarks_of_(std::move(watermarks_of)),
          has_watermarks_of_(!watermarks_of_.is_none()) {}

    [[nodiscard]] Pipeline& pipeline() noexcept { return pipeline_; }
    [[nodiscard]] Branch& branch(std::size_t index) { return pipeline_.branches().at(index); }
    [[nodiscard]] const Schema& schema() const noexcept { return pipeline_.plan().schema; }

    /// Takes a step that changes the pipeline. One that fails may have changed a part of it only, so
    /// that results would be wrong from then on: every further step is refused.
    template <typename Step>
    void step(Step take_step) {
        refuse_if_failed();
        try {
            take_step();
        } catch (py::error_already_set& error) {
            const py::gil_scoped_acquire gil;
            failure_ =
                py::str("{}: {}").format(error.type().attr("__name__"), error.value()).cast<std::string>();
            throw;
        } catch (const std::exception& error) {
            failure_ = error.what();
            throw;
        }
    }
    void refuse_if_failed() const {
        if (failure_) {
            throw Error(ErrorKind::kPipeline, "the pipeline cannot go on after an error: " + *failure_);
        }
    }

    void push_records(const py::list& records, std::uint32_t partition) {
        refuse_if_failed();
        BatchBuilder& builder = settled_builder();
        for (std::size_t first = 0; first < records.size(); first += kRecordsPerBatch) {
            const std::size_t last = std::min(first + kRecordsPerBatch, records.size());
            builder.clear();
            for (std::size_t record = first; record < last; ++record) {
                records_.decode(records[record], builder);
            }
            const py::gil_scoped_release without_gil;
            push_built(builder, partition);
        }
    }

    /// Records with their event times, and the stream's watermark after each of them.
    void push_given(const py::list& records, const std::vector<Timestamp>& times,
                    const std::vector<Timestamp>& watermarks) {
        refuse_if_failed();
        if (times.size() != records.size() || watermarks.size() != records.size()) {
            throw Error(ErrorKind::kPipeline, "a time and a watermark are needed for each record");
        }
        BatchBuilder& builder = settled_builder();
        for (std::size_t first = 0; first < records.size(); first += kRecordsPerBatch) {
            const std::size_t last = std::min(first + kRecordsPerBatch, records.size());
            builder.clear();
            for (std::size_t record = first; record < last; ++record) {
                records_.decode(records[record], builder, times[record]);
            }
            const py::gil_scoped_release without_gil;
            Pipeline::MalformedCounts malformed = builder.malformed();
            const RecordBatch built = builder.batch();
            const RecordBatch& admitted = pipeline_.admit(built, malformed);
            step(
                [&] { take_given(admitted, malformed, std::span(watermarks).subspan(first, last - first)); });
        }
    }

    /// (input index, event time, watermark before, watermark after, what is computed of it) of the records of
    /// the last push that go on.
    [[nodiscard]] py::list handed_on() const {
        py::list records;
        const std::span<const HandedOn> handed = pipeline_.handed_on();
        const std::size_t projections = pipeline_.plan().projections.size();
        for (std::size_t at = 0; at < handed.size(); ++at) {
            const py::tuple computed(projections);
            for (std::size_t projection = 0; projection < projections; ++projection) {
                const double number = pipeline_.projected(projection)[at];
                computed[projection] =
                    std::isfinite(number) ? py::object(py::float_(number)) : py::object(py::none());
            }
            records.append(py::make_tuple(handed[at].input_index, handed[at].event_time,
                                          handed[at].watermark_before, handed[at].watermark_after, computed));
        }
        return records;
    }

    py::object explain_record(const py::object& record) {
        refuse_if_failed();
        if (builder_) {
            return explain_record(record, pipeline_, *builder_);
        }
        // Looking must not settle the types of values.
        Pipeline copy(pipeline_.plan());
        HeldObjects held;
        copy.restore(pipeline_.snapshot(&held), &held);
        BatchBuilder builder(copy.settled_schema());
        return explain_record(record, copy, builder);
    }

    py::object explain_record(const py::object& record, Pipeline& pipeline, BatchBuilder& builder) {
        builder.clear();
        records_.decode(record, builder);
        Pipeline::MalformedCounts malformed = builder.malformed();
        const RecordBatch built = builder.batch();
        const RecordBatch& admitted = pipeline.admit(built, malformed);
        for (std::size_t kind = 1; kind < kMalformedKinds; ++kind) {
            if (malformed[kind] != 0) {
                return py::str(kMalformedNames[kind]);
            }
        }
        py::list branches;
        for (const auto& verdicts : pipeline.explain(admitted)) {
            py::list windows;
            for (const WindowVerdict& verdict : verdicts) {
                windows.append(py::make_tuple(verdict.window.start, verdict.window.end,
                                              kFateNames[static_cast<std::size_t>(verdict.fate)]));
            }
            branches.append(windows);
        }
        const Timestamp watermark = pipeline.watermark();
        return py::make_tuple(admitted.event_time[0],
                              watermark == kMinTimestamp ? std::nullopt : std::optional(watermark),
                              key_tuple(admitted.keys->key(admitted.key[0])), branches);
    }

    void begin_store(const std::string& prefix, CheckpointWriter& writer) {
        refuse_if_failed();
        StateChanges header;
        header.put(prefix + kHeaderName, pipeline_.begin_store(prefix));
        writer.apply(std::move(header));
    }

    bool store(std::size_t budget, CheckpointWriter& writer) {
        const bool done = pipeline_.store(budget);
        if (StateChanges stored = pipeline_.take_stored(); !stored.empty()) {
            writer.apply(std::move(stored));
        }
        return done;
    }

    /// What the backend has besides, under the prefix, is of no use any more: state that was spilled.
    void restore_stored(const std::string& prefix, StateBackend& backend) {
        const PiecesOfBackend pieces(backend);
        pipeline_.restore(pieces.get(prefix + kHeaderName), nullptr, &pieces);
        StateChanges unused;
        backend.scan(prefix, [&](std::string_view name, std::string_view) {
            if (!pieces.was_used(std::string(name))) {
                unused.del(std::string(name));
            }
            return true;
        });
        backend.apply(unused);
    }

    bool read_ndjson(NdjsonReader& reader, std::size_t max_records) {
        refuse_if_failed();
        const PipelinePlan& plan = pipeline_.plan();
        // Late records are looked up in the reader, and a limit must not end within the chunks of one
        // round: as many records as they have bytes at the most.
        if (plan.parallelism > 1 && !collects_late() &&
            max_records >= plan.parallelism * 2 * kMaxRecordBytes) {
            return read_ndjson_in_parallel(reader);
        }
        BatchBuilder& builder = settled_builder();
        if (!reader.next(json_, builder, max_records)) {
            return false;
        }
        push_built(builder, 0);
        return true;
    }

    /// Takes what has come within `wait`: one batch where whole records are kept, otherwise several.
    bool read_kafka(KafkaConsumer& consumer, std::size_t max_records, std::size_t batch_records, bool keeps,
                    std::chrono::milliseconds wait) {
        using Clock = std::chrono::steady_clock;
        constexpr std::chrono::milliseconds kLongestStep{20};
        refuse_if_failed();
        BatchBuilder& builder = settled_builder();
        kafka_malformed_.clear();
        const Clock::time_point until = Clock::now() + kLongestStep;
        for (std::size_t taken = 0; taken < max_records; taken += builder.input_records()) {
            const bool more =
                consumer.next(json_, builder, std::min(max_records - taken, batch_records), wait);
            if (const auto partitions = consumer.take_partitions()) {
                pipeline_.set_partitions(*partitions);
            }
            if (pipeline_.plan().watermark.idle_timeout || pipeline_.plan().watermark.flush_timeout) {
                pipeline_.keep_active(consumer.partitions_behind());
            }
            if (!more) {
                return taken != 0;
            }
            push_built(builder, consumer.partition());
            if (keeps) {
                note_malformed(consumer);
            }
            if (keeps || !consumer.has_next() || Clock::now() >= until) {
                break;
            }
        }
        return true;
    }
    /// (place among the input records of the last Kafka batch, why); where records are kept.
    [[nodiscard]] py::list kafka_malformed() const {
        py::list malformed;
        for (const auto& [input_index, why] : kafka_malformed_) {
            malformed.append(py::make_tuple(input_index, kMalformedNames[static_cast<std::size_t>(why)]));
        }
        return malformed;
    }

    bool read_arrow(ArrowReader& reader, std::uint32_t partition, std::size_t max_records) {
        refuse_if_failed();
        RecordBatch batch;
        if (!reader.next(batch, max_records)) {
            return false;
        }
        refuse_suspicious_time(reader);
        push(batch, reader.malformed(), partition);
        return true;
    }

private:
    [[nodiscard]] bool collects_late() const {
        const auto& branches = pipeline_.plan().branches;
        return std::any_of(branches.begin(), branches.end(),
                           [](const BranchPlan& branch) { return branch.window.collect_late; });
    }

    void note_malformed(const KafkaConsumer& consumer) {
        const auto rejected = consumer.records().rejected();
        const auto refused = pipeline_.refused();
        kafka_malformed_.assign(rejected.begin(), rejected.end());
        kafka_malformed_.insert(kafka_malformed_.end(), refused.begin(), refused.end());
        std::sort(kafka_malformed_.begin(), kafka_malformed_.end());
    }

    /// Builds batches of the types that are settled, from now on for good.
    BatchBuilder& settled_builder() {
        if (!builder_) {
            pipeline_.settle_types_as_declared();
            builder_.emplace(pipeline_.settled_schema());
        }
        return *builder_;
    }

    bool read_ndjson_in_parallel(NdjsonReader& reader) {
        if (!parallel_json_) {
            pipeline_.settle_types_as_declared();
            parallel_json_.emplace(pipeline_.settled_schema(), pipeline_.plan().parallelism);
        }
        if (!parallel_json_->next(reader, pipeline_.workers())) {
            return false;
        }
        for (std::size_t batch = 0; batch < parallel_json_->size(); ++batch) {
            push_built((*parallel_json_)[batch], 0);
        }
        return true;
    }

    void push_built(const BatchBuilder& built, std::uint32_t partition) {
        refuse_suspicious_time(built);
        if (const std::optional<std::size_t> column = built.unfit_column()) {
            pipeline_.refuse_float(*column);
        }
        push(built.batch(), built.malformed(), partition);
    }

    void push(const RecordBatch& batch, Pipeline::MalformedCounts malformed, std::uint32_t partition) {
        const RecordBatch& admitted = pipeline_.admit(batch, malformed);
        step([&] { take(admitted, malformed, partition); });
    }

    void take(const RecordBatch& admitted, const Pipeline::MalformedCounts& malformed,
              std::uint32_t partition) {
        std::vector<Timestamp> watermarks;
        if (has_watermarks_of_ && admitted.size != 0) {
            const py::gil_scoped_acquire gil;
            const std::vector<Timestamp> times(admitted.event_time.begin(), admitted.event_time.end());
            watermarks = watermarks_of_(partition, times).cast<std::vector<Timestamp>>();
            if (watermarks.size() != times.size()) {
                throw Error(ErrorKind::kPipeline, "a watermark is needed for each record");
            }
        }
        pipeline_.push(admitted, malformed, partition, watermarks);
    }

    /// `watermarks` has one for each input record; what a malformed one says holds for the record before it.
    void take_given(const RecordBatch& admitted, const Pipeline::MalformedCounts& malformed,
                    std::span<const Timestamp> watermarks) {
        std::vector<Timestamp> after(admitted.size);
        const auto index_of = [&](std::size_t record) {
            return admitted.input_index.empty() ? record : admitted.input_index[record];
        };
        for (std::size_t record = 0; record < admitted.size; ++record) {
            const std::size_t next = record + 1 < admitted.size ? index_of(record + 1) : watermarks.size();
            after[record] = watermarks[next - 1];
        }
        if (const std::size_t first = admitted.size == 0 ? watermarks.size() : index_of(0); first != 0) {
            pipeline_.advance_watermark(watermarks[first - 1]);
        }
        pipeline_.push(admitted, malformed, 0, after);
    }

    /// A first integer time before 1990 nearly always means another unit, and so that every
    /// record is wrong. Later ones are counted as malformed like other unusable times.
    template <typename Decoder>
    void refuse_suspicious_time(const Decoder& decoder) const {
        const std::int64_t* const time = decoder.suspicious_time();
        if (time == nullptr || decoder.records_before_suspicious() != 0 || pipeline_.accepted() != 0) {
            return;
        }
        const std::int64_t size = *time < 0 ? -*time : *time;
        const char* const guess = size < 100'000'000'000 ? "s" : "ms";
        throw Error(ErrorKind::kConfiguration,
                    "event time '" + schema().time_path + "': " + std::to_string(*time) +
                        " in microseconds lies before 1990; if it counts something else, say so: unit=\"" +
                        guess + "\" (one of \"s\", \"ms\", \"us\", \"ns\")");
    }

    Pipeline pipeline_;
    std::optional<BatchBuilder> builder_;
    JsonDecoder json_;
    std::optional<ParallelNdjson> parallel_json_;
    PythonRecordDecoder records_;
    std::vector<std::pair<std::uint32_t, Malformed>> kafka_malformed_;
    /// What the first step that failed said.
    std::optional<std::string> failure_;
    py::object watermarks_of_;
    bool has_watermarks_of_;
};

using ValueTuple = std::tuple<std::string, std::string, bool>;
using WatermarkTuple =
    std::tuple<std::optional<Duration>, Duration, std::optional<Duration>, std::optional<Duration>>;
using SkewTuple = std::tuple<std::optional<Duration>, std::optional<Duration>>;

std::unique_ptr<Session> make_session(std::string fingerprint, std::string time_path,
                                      const std::string& time_unit, std::vector<std::string> key_paths,
                                      const std::vector<ValueTuple>& values, std::vector<std::string> labels,
                                      const py::list& steps, const py::list& branches,
                                      const py::object& projections, const WatermarkTuple& watermark,
                                      const SkewTuple& skew, std::size_t parallelism,
                                      py::object watermarks_of) {
    PipelinePlan plan;
    plan.fingerprint = std::move(fingerprint);
    plan.schema.time_path = std::move(time_path);
    plan.schema.time_unit = time_unit_of(time_unit);
    plan.schema.key_paths = std::move(key_paths);
    for (const auto& [path, type, declared] : values) {
        plan.schema.values.push_back({path, field_type_of(type), declared});
    }
    plan.schema.labels = std::move(labels);
    for (const py::handle step : steps) {
        plan.steps.push_back(record_step_of(py::reinterpret_borrow<py::tuple>(step)));
    }
    if (!projections.is_none()) {
        plan.hands_on = true;
        plan.projections = expressions_of(projections);
    }
    for (const py::handle branch : branches) {
        plan.branches.push_back(branch_of(py::reinterpret_borrow<py::dict>(branch)));
    }
    std::tie(plan.watermark.max_out_of_orderness, plan.watermark.interval, plan.watermark.idle_timeout,
             plan.watermark.flush_timeout) = watermark;
    std::tie(plan.future_skew, plan.past_skew) = skew;
    plan.parallelism = parallelism;
    return std::make_unique<Session>(std::move(plan), std::move(watermarks_of));
}

py::dict counts_of(Session& self) {
    const RecordCounts& counts = self.pipeline().counts();
    py::dict malformed;
    for (std::size_t kind = 1; kind < kMalformedKinds; ++kind) {
        if (counts.malformed_by_kind[kind] != 0) {
            malformed[kMalformedNames[kind]] = counts.malformed_by_kind[kind];
        }
    }
    py::dict result;
    result["records_in"] = counts.records_in;
    result["malformed"] = counts.malformed;
    result["malformed_by_kind"] = malformed;
    return result;
}

/// (smallest delay, count) of each bucket that has any, and the width of the bucket.
py::list buckets_of(const DelayHistogram& delays) {
    py::list buckets;
    for (std::size_t bucket = 0; bucket < DelayHistogram::kBuckets; ++bucket) {
        if (const std::uint64_t count = delays.count(bucket); count != 0) {
            const std::uint64_t edge = DelayHistogram::lower_edge(bucket);
            buckets.append(py::make_tuple(edge, DelayHistogram::lower_edge(bucket + 1) - edge, count));
        }
    }
    return buckets;
}

py::dict branch_counts_of(Session& self, std::size_t branch) {
    const BranchCounts& counts = self.branch(branch).counts();
    py::dict result;
    result["aggregated"] = counts.aggregated;
    result["late"] = counts.late;
    result["outside_windows"] = counts.outside_windows;
    result["unfired"] = counts.unfired;
    result["skipped_values"] = counts.skipped_values;
    result["panes"] = counts.panes;
    return result;
}

/// What is alive in all branches: (keys, slices, bytes).
std::tuple<std::size_t, std::size_t, std::size_t> live(Session& self) {
    const RecordSteps& steps = self.pipeline().steps();
    std::tuple<std::size_t, std::size_t, std::size_t> sums{steps.live(), 0, steps.state_bytes()};
    for (const Branch& branch : self.pipeline().branches()) {
        if (const ShardedOperator* const windows = branch.windows()) {
            std::get<0>(sums) += windows->live_keys();
            std::get<1>(sums) += windows->live_slices();
            std::get<2>(sums) += windows->state_bytes();
        }
    }
    return sums;
}

std::unique_ptr<ArrowReader> open_arrow(Session& self, const py::object& data) {
    self.refuse_if_failed();
    const py::object capsule = data.attr("__arrow_c_stream__")();
    auto* const stream =
        static_cast<ArrowArrayStream*>(PyCapsule_GetPointer(capsule.ptr(), "arrow_array_stream"));
    if (stream == nullptr) {
        throw py::error_already_set();
    }
    auto reader = std::make_unique<ArrowReader>(stream, self.schema());
    self.pipeline().settle_types(reader->value_types());
    return reader;
}

/// (position, input index, event time, watermark, key values, windows)
py::list take_late(Session& self, std::size_t branch) {
    py::list late;
    for (const LateRecord& record : self.branch(branch).take_late()) {
        py::list windows;
        for (const Interval& window : record.windows) {
            windows.append(py::make_tuple(window.start, window.end));
        }
        late.append(py::make_tuple(record.position, record.input_index, record.event_time, record.watermark,
                                   key_tuple(record.key), std::move(windows)));
    }
    return late;
}

}  // namespace

void bind_pipeline(py::module_& module) {
    using without_gil = py::call_guard<py::gil_scoped_release>;

    const py::class_<ArrowReader> arrow_reader(module, "ArrowReader",
                                               "An Arrow stream that is being read by a pipeline.");

    py::class_<Session>(module, "Pipeline", "A checked plan at work: records in, panes out. Not thread safe.")
        .def(py::init(&make_session), py::kw_only(), py::arg("fingerprint"), py::arg("time_path"),
             py::arg("time_unit"), py::arg("key_paths"), py::arg("values"), py::arg("labels"),
             py::arg("steps"), py::arg("branches"), py::arg("projections"), py::arg("watermark"),
             py::arg("skew"), py::arg("parallelism") = 1, py::arg("watermarks_of") = py::none())
        .def("push_records", &Session::push_records, py::arg("records"), py::arg("partition") = 0)
        .def("push_given", &Session::push_given, py::arg("records"), py::arg("times"), py::arg("watermarks"),
             "Records with their event times and the stream's watermark after each.")
        .def("handed_on", &Session::handed_on,
             "(input index, event time, watermark before, watermark after, what is computed of it) of the "
             "records of the last push that go on.")
        .def(
            "left_out", [](Session& self) { return self.pipeline().steps().left_out(); },
            "How many records each step has left out.")
        .def("read_ndjson", &Session::read_ndjson, py::arg("reader"),
             py::arg("max_records") = NdjsonChunk::kMaxBatchRecords, without_gil(),
             "Takes the next batch, an empty one if a pipe has nothing yet; False at the end of the input.")
        .def(
            "read_kafka",
            [](Session& self, BoundConsumer& consumer, std::size_t max_records, std::size_t batch_records,
               bool keeps, std::int64_t wait_ms) {
                return self.read_kafka(*consumer.consumer, max_records, batch_records, keeps,
                                       std::chrono::milliseconds(wait_ms));
            },
            py::arg("consumer"), py::arg("max_records"), py::arg("batch_records"), py::arg("keeps"),
            py::arg("wait_ms"), without_gil(),
            "Takes the next records, none if there are none yet; False at the end of a bounded read.")
        .def("kafka_malformed", &Session::kafka_malformed,
             "(place among the input records of the last Kafka batch, why), where records are kept.")
        .def("open_arrow", &open_arrow, py::arg("data"), "Starts reading anything with __arrow_c_stream__.")
        .def("read_arrow", &Session::read_arrow, py::arg("reader"), py::arg("partition") = 0,
             py::arg("max_records") = ArrowReader::kMaxRows, without_gil(),
             "Takes the next batch; False at the end of the stream.")
        .def(
            "advance_watermark",
            [](Session& self, Timestamp time) {
                self.step([&] { self.pipeline().advance_watermark(time); });
            },
            py::arg("time"), without_gil())
        .def(
            "advance_processing_time",
            [](Session& self, Timestamp time) {
                self.step([&] { self.pipeline().advance_processing_time(time); });
            },
            py::arg("time"), without_gil())
        .def(
            "end_of_input", [](Session& self) { self.step([&] { self.pipeline().end_of_input(); }); },
            without_gil())
        .def(
            "drain",
            [](Session& self, std::size_t branch) {
                return NamedPanes{self.branch(branch).take_panes(), self.schema().key_paths};
            },
            py::arg("branch") = 0, "The panes of a branch since the last call.")
        .def("take_late", &take_late, py::arg("branch") = 0,
             "(position, input index, event time, watermark, key values, windows) since the last call.")
        .def("counts", &counts_of)
        .def(
            "delays", [](Session& self) { return buckets_of(self.pipeline().delays()); },
            "(smallest, width, count) of buckets: how far records came behind the greatest time before them.")
        .def(
            "delays_after_end",
            [](Session& self, std::size_t branch) {
                return buckets_of(self.branch(branch).delays_after_end());
            },
            py::arg("branch"), "The same, of records whose last window had ended: how long before.")
        .def("explain_record", py::overload_cast<const py::object&>(&Session::explain_record),
             py::arg("record"),
             "Why it is malformed, or (time, watermark, key values, [(start, end, fate), …] by branch).")
        .def("branch_counts", &branch_counts_of, py::arg("branch"))
        .def("snapshot",
             [](Session& self) {
                 self.refuse_if_failed();
                 return py::bytes(self.pipeline().snapshot());
             })
        .def(
            "restore", [](Session& self, const py::bytes& bytes) { self.pipeline().restore(bytes); },
            py::arg("snapshot"))
        .def_property_readonly("fingerprint",
                               [](Session& self) { return self.pipeline().plan().fingerprint; })
        .def(
            "use_spill",
            [](Session& self, std::shared_ptr<StateBackend> backend, std::size_t most_bytes,
               const std::string& prefix) {
                self.pipeline().use_spill(std::move(backend), most_bytes, prefix);
            },
            py::arg("backend"), py::arg("most_bytes"), py::arg("prefix"),
            "Before anything else: slices of windows beyond so many bytes go to the backend.")
        .def_property_readonly(
            "spilled",
            [](Session& self) {
                const Spill* const spill = self.pipeline().spill();
                return spill == nullptr ? std::tuple<std::uint64_t, std::uint64_t, std::uint64_t>()
                                        : std::tuple<std::uint64_t, std::uint64_t, std::uint64_t>(
                                              spill->slices, spill->bytes_written, spill->bytes_read);
            },
            "(slices that are not in memory, bytes written, bytes read).")
        .def("begin_store", &Session::begin_store, py::arg("prefix"), py::arg("writer"), without_gil(),
             "Starts a checkpoint of the state as it is now.")
        .def("store", &Session::store, py::arg("budget"), py::arg("writer"), without_gil(),
             "Hands about `budget` bytes more to the writer; whether that was all.")
        .def(
            "forget_stored", [](Session& self) { self.pipeline().forget_stored(); }, without_gil(),
            "A checkpoint has failed: the next one has everything.")
        .def("restore_stored", &Session::restore_stored, py::arg("prefix"), py::arg("backend"), without_gil())
        .def_property_readonly("watermark",
                               [](Session& self) {
                                   const Timestamp time = self.pipeline().watermark();
                                   return time == kMinTimestamp ? std::nullopt : std::optional(time);
                               })
        .def_property_readonly("live", &live, "(keys, slices, bytes) that are alive.")
        .def(
            "records_by_shard",
            [](Session& self, std::size_t branch) {
                const ShardedOperator* const windows = self.branch(branch).windows();
                return windows == nullptr ? std::vector<std::uint64_t>{} : windows->records_by_shard();
            },
            py::arg("branch") = 0);
}

}  // namespace llmopt_stream::bindings
