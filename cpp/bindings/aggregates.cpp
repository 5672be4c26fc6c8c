#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "aggregate/metric_row.hpp"
#include "aggregate/percentile_metric.hpp"
#include "aggregate/value_statistics.hpp"
#include "bindings/bindings.hpp"
#include "bindings/metrics.hpp"
#include "bindings/plan.hpp"
#include "bindings/results.hpp"
#include "record/error.hpp"
#include "record/key_dictionary.hpp"

namespace llmopt_stream::bindings {
namespace {

/// A number as a double, a bool not being one.
std::optional<double> number_of(py::handle value) {
    if (PyBool_Check(value.ptr())) {
        return std::nullopt;
    }
    const bool is_number = PyFloat_Check(value.ptr()) || PyLong_Check(value.ptr()) ||
                           PyIndex_Check(value.ptr()) || py::hasattr(value, "__float__");
    return is_number ? std::optional(py::float_(py::reinterpret_borrow<py::object>(value)).cast<double>())
                     : std::nullopt;
}

/// A scalar as the decoders encode a label; anything else, and a number that is not finite, is null.
std::string encoded_label(py::handle value) {
    std::string encoded;
    if (PyBool_Check(value.ptr())) {
        key_encoding::append_bool(encoded, value.cast<bool>());
        return encoded;
    }
    if (PyUnicode_Check(value.ptr())) {
        key_encoding::append_text(encoded, value.cast<std::string>());
        return encoded;
    }
    if (PyIndex_Check(value.ptr())) {
        const auto index = py::reinterpret_steal<py::object>(PyNumber_Index(value.ptr()));
        if (!index) {
            throw py::error_already_set();
        }
        int overflow = 0;
        const std::int64_t integer = PyLong_AsLongLongAndOverflow(index.ptr(), &overflow);
        if (overflow == 0) {
            key_encoding::append_int(encoded, integer);
            return encoded;
        }
        const std::uint64_t natural = overflow > 0 ? PyLong_AsUnsignedLongLong(index.ptr()) : 0;
        if (overflow > 0 && PyErr_Occurred() == nullptr) {
            key_encoding::append_uint(encoded, natural);
            return encoded;
        }
        PyErr_Clear();
    }
    if (const std::optional<double> number = number_of(value); number && std::isfinite(*number)) {
        key_encoding::append_double(encoded, *number);
    } else {
        key_encoding::append_null(encoded);
    }
    return encoded;
}

/// What metrics share, however many accumulators there are.
struct Layout {
    Metrics metrics;
    std::vector<FieldType> types;
    std::size_t labels;
    /// What it was made of: (metrics, types, labels).
    py::tuple settings;
    /// Two accumulators can be merged if these are equal.
    std::string settings_text;
    /// The metrics that single statistics are asked of, and where in the row their states lie.
    const ValueStatistics* statistics = nullptr;
    std::size_t statistics_at = 0;
    const PercentileMetric* percentiles = nullptr;
    std::size_t percentiles_at = 0;
};

/// The state of metrics with the memory that it grows into: usable alone, outside any pipeline.
class Accumulator {
public:
    Accumulator(const py::list& metrics, const std::vector<std::string>& types, std::size_t labels)
        : Accumulator(make_layout(metrics, types, labels)) {}
    ~Accumulator() { row_.destroy(state(), *pool_); }
    Accumulator(const Accumulator&) = delete;
    Accumulator& operator=(const Accumulator&) = delete;

    bool add(double value) { return add_number(value); }
    bool add_int(std::int64_t value) { return add_number(value); }

    /// One record: numbers for the value columns and scalars for the labels, in order.
    bool add_record(const std::vector<std::optional<double>>& numbers, const py::list& labels,
                    std::optional<Timestamp> time) {
        if (numbers.size() != layout_->types.size() || labels.size() != layout_->labels) {
            throw Error(ErrorKind::kAggregation, "add: a value for each field is needed");
        }
        RecordBatch batch;
        std::vector<double> values;
        for (const std::optional<double>& number : numbers) {
            values.push_back(number.value_or(std::numeric_limits<double>::quiet_NaN()));
        }
        for (const double& value : values) {
            batch.values.push_back({FieldType::kFloat64, {&value, 1}, {}, {}});
        }
        const std::uint32_t only = 0;
        std::vector<KeyDictionary> dictionaries(labels.size());
        for (std::size_t label = 0; label < labels.size(); ++label) {
            dictionaries[label].intern(encoded_label(labels[label]));
            batch.labels.push_back({{&only, 1}, &dictionaries[label]});
        }
        return add_batch(batch, time);
    }

    /// A value of the only field, as a number where one is read, and as it is where that is.
    bool add_scalar(const py::object& value, std::optional<Timestamp> time) {
        if (layout_->types.size() > 1 || layout_->labels > 1) {
            throw Error(ErrorKind::kAggregation, "add: a value for each field is needed");
        }
        py::list labels;
        for (std::size_t label = 0; label < layout_->labels; ++label) {
            labels.append(value);
        }
        return add_record(std::vector(layout_->types.size(), number_of(value)), labels, time);
    }

    void merge(const Accumulator& other) {
        if (&other == this) {
            merge(*copy());
            return;
        }
        if (layout_ != other.layout_ && layout_->settings_text != other.layout_->settings_text) {
            throw Error(ErrorKind::kAggregation, "merge: the accumulators are of different aggregators");
        }
        row_.merge(state(), other.state(), *pool_);
    }
    [[nodiscard]] std::unique_ptr<Accumulator> copy() const {
        auto other = std::make_unique<Accumulator>(layout_);
        other->row_.merge(other->state(), state(), *other->pool_);
        return other;
    }
    /// {result: value} of a window, in the order of the metrics.
    [[nodiscard]] py::dict results(std::optional<std::pair<Timestamp, Timestamp>> window) const {
        std::vector<ResultColumn> columns = row_.make_result_columns();
        const Interval span =
            window ? Interval{window->first, window->second} : Interval{kMinTimestamp, kMaxTimestamp};
        row_.append_results(state(), span, columns);
        py::dict results;
        for (const ResultColumn& column : columns) {
            results[py::str(column.name)] = python_value(column, 0);
        }
        return results;
    }
    [[nodiscard]] MetricValue result(AggregationKind kind, double percentile = 0) const {
        return statistics().result(state() + layout_->statistics_at,
                                   Aggregation{kind, percentile, "accumulator"});
    }
    [[nodiscard]] MetricValue percentile(double percent) const {
        if (layout_->percentiles == nullptr) {
            return result(AggregationKind::kPercentile, percent);
        }
        if (!(percent >= 0 && percent <= 100)) {
            throw Error(ErrorKind::kAggregation,
                        "percentile: expected one in [0, 100], got " + std::to_string(percent));
        }
        const std::byte* const at = state() + layout_->percentiles_at;
        return layout_->percentiles->count(at) == 0
                   ? MetricValue{}
                   : layout_->percentiles->percentiles(at, {&percent, 1}).front();
    }
    [[nodiscard]] py::bytes encode() const {
        ByteWriter out;
        row_.encode(state(), out);
        return {out.bytes()};
    }
    void decode(const py::bytes& bytes) {
        ByteReader in{std::string_view(bytes)};
        Accumulator decoded(layout_);
        decoded.row_.decode(decoded.state(), in, *decoded.pool_);
        if (in.remaining() != 0) {
            ByteReader::corrupt("bytes are left over");
        }
        std::swap(state_, decoded.state_);
        std::swap(pool_, decoded.pool_);
    }
    [[nodiscard]] std::uint64_t count() const { return statistics().count(state() + layout_->statistics_at); }
    [[nodiscard]] py::tuple settings() const { return layout_->settings; }
    [[nodiscard]] bool reads_labels() const noexcept { return layout_->labels != 0; }
    [[nodiscard]] double percentile_error() const {
        return statistics().percentile_error(state() + layout_->statistics_at);
    }

    explicit Accumulator(std::shared_ptr<const Layout> layout)
        : layout_(std::move(layout)), row_(layout_->metrics), state_(row_.bytes() / 8) {
        row_.create(state());
    }

private:
    static std::shared_ptr<const Layout> make_layout(const py::list& metrics,
                                                     const std::vector<std::string>& types,
                                                     std::size_t labels) {
        auto layout = std::make_shared<Layout>();
        layout->labels = labels;
        for (const std::string& type : types) {
            layout->types.push_back(field_type_of(type));
        }
        layout->settings = py::make_tuple(metrics, types, labels);
        layout->settings_text = py::str(layout->settings);
        std::size_t at = 0;
        for (const py::handle metric : metrics) {
            layout->metrics.push_back(metric_of(py::reinterpret_borrow<py::dict>(metric))(layout->types));
            if (layout->statistics == nullptr) {
                layout->statistics = dynamic_cast<const ValueStatistics*>(layout->metrics.back().get());
                layout->statistics_at = at;
            }
            if (layout->percentiles == nullptr) {
                layout->percentiles = dynamic_cast<const PercentileMetric*>(layout->metrics.back().get());
                layout->percentiles_at = at;
            }
            at += layout->metrics.back()->state_bytes();
        }
        return layout;
    }

    template <typename Value>
    bool add_number(Value value) {
        if (layout_->types.size() != 1 || layout_->labels != 0) {
            throw Error(ErrorKind::kAggregation, "add: a value for each field is needed");
        }
        RecordBatch batch;
        const auto number = static_cast<double>(value);
        ValueColumn& column = batch.values.emplace_back();
        if (layout_->types.front() == FieldType::kFloat64) {
            column.float64 = {&number, 1};
            return add_batch(batch, std::nullopt);
        }
        if constexpr (std::is_integral_v<Value>) {
            column.type = FieldType::kInt64;
            column.int64 = {&value, 1};
            return add_batch(batch, std::nullopt);
        }
        return false;
    }
    bool add_batch(RecordBatch& batch, std::optional<Timestamp> time) {
        const Metrics& metrics = layout_->metrics;
        if (!time && std::any_of(metrics.begin(), metrics.end(),
                                 [](const auto& metric) { return metric->reads_time(); })) {
            throw Error(ErrorKind::kAggregation,
                        "add: what is asked for needs the event time of each value; "
                        "say add(accumulator, value, time=…)");
        }
        const Timestamp event_time = time.value_or(0);
        batch.size = 1;
        batch.event_time = {&event_time, 1};
        std::byte* const row = state();
        std::vector<std::uint64_t> skipped(row_.metrics());
        row_.add({&row, 1}, batch, 0, *pool_, skipped);
        return skipped.front() == 0;
    }
    [[nodiscard]] const ValueStatistics& statistics() const {
        if (layout_->statistics == nullptr) {
            throw Error(ErrorKind::kAggregation, "the accumulator keeps no such statistic");
        }
        return *layout_->statistics;
    }
    [[nodiscard]] std::byte* state() noexcept { return reinterpret_cast<std::byte*>(state_.data()); }
    [[nodiscard]] const std::byte* state() const noexcept {
        return reinterpret_cast<const std::byte*>(state_.data());
    }

    std::shared_ptr<const Layout> layout_;
    MetricRow row_;
    std::unique_ptr<SizeClassPool> pool_ = std::make_unique<SizeClassPool>();
    std::vector<std::uint64_t> state_;
};

}  // namespace

void bind_aggregates(py::module_& module) {
    py::class_<Accumulator>(module, "Accumulator", "What an aggregator keeps of the values added to it.")
        .def(py::init<const py::list&, const std::vector<std::string>&, std::size_t>(), py::arg("metrics"),
             py::arg("types"), py::arg("labels") = 0)
        .def("add", &Accumulator::add_int, py::arg("value").noconvert(),
             "Takes a value; False if it is not usable.")
        .def("add", &Accumulator::add, py::arg("value"), "Takes a value; False if it is not finite.")
        .def("add_record", &Accumulator::add_record, py::arg("numbers"), py::arg("labels"),
             py::arg("time") = py::none(),
             "Takes a value of each field, numbers first; False if it is not usable.")
        .def("add_scalar", &Accumulator::add_scalar, py::arg("value"), py::arg("time") = py::none(),
             "Takes a value of the only field, as a number and as it is; False if it is not usable.")
        .def("merge", &Accumulator::merge, py::arg("other"), "Adds everything that the other one holds.")
        .def("copy", &Accumulator::copy)
        .def("results", &Accumulator::results, py::arg("window") = py::none(),
             "{result: value}; rates need the window, (start, end) in microseconds.")
        .def("encode", &Accumulator::encode, "Bytes that decode() restores exactly.")
        .def("decode", &Accumulator::decode, py::arg("encoded"), "Replaces the content by encoded bytes.")
        .def_property_readonly("reads_labels", &Accumulator::reads_labels,
                               "Whether anything reads values as they are, whatever their type.")
        .def_property_readonly("settings", &Accumulator::settings,
                               "What it was made of: metrics, types, labels.")
        .def_property_readonly("count", &Accumulator::count)
        .def_property_readonly("sum",
                               [](const Accumulator& self) { return self.result(AggregationKind::kSum); })
        .def_property_readonly("min",
                               [](const Accumulator& self) { return self.result(AggregationKind::kMin); })
        .def_property_readonly("max",
                               [](const Accumulator& self) { return self.result(AggregationKind::kMax); })
        .def("average", [](const Accumulator& self) { return self.result(AggregationKind::kAverage); })
        .def(
            "stddev", [](const Accumulator& self) { return self.result(AggregationKind::kStddev); },
            "Of the population; 0.0 for one value.")
        .def(
            "stddev_sample",
            [](const Accumulator& self) { return self.result(AggregationKind::kStddevSample); },
            "None for one value.")
        .def(
            "percentile", [](const Accumulator& self, double p) { return self.percentile(p); }, py::arg("p"),
            "Nearest rank, p in [0, 100].")
        .def("p50", [](const Accumulator& self) { return self.percentile(50); })
        .def("p95", [](const Accumulator& self) { return self.percentile(95); })
        .def("p99", [](const Accumulator& self) { return self.percentile(99); })
        .def_property_readonly("percentile_error", &Accumulator::percentile_error,
                               "The bound on the relative error of percentiles; 0.0 while they are exact.");
}

}  // namespace llmopt_stream::bindings
