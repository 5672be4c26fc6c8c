#include <memory>
#include <utility>
#include <vector>

#include "aggregate/metric.hpp"
#include "bindings/bindings.hpp"
#include "bindings/plan.hpp"

namespace llmopt_stream::bindings {
namespace {

/// A metric's state with the memory that it grows into: usable alone, outside any pipeline.
class Accumulator {
public:
    Accumulator(const std::string& type, const std::vector<AggregationTuple>& aggregations)
        : metric_(field_type_of(type), aggregations_of(aggregations)), state_(metric_.state_bytes() / 8) {
        metric_.create(state());
    }

    bool add(double value) {
        return metric_.type() == FieldType::kFloat64 && metric_.add_one(state(), value, *pool_);
    }
    bool add_int(std::int64_t value) {
        return metric_.type() == FieldType::kInt64
                   ? metric_.add_one(state(), value, *pool_)
                   : metric_.add_one(state(), static_cast<double>(value), *pool_);
    }
    void merge(const Accumulator& other) {
        if (state_.size() != other.state_.size() || metric_.type() != other.metric_.type()) {
            throw Error(ErrorKind::kAggregation, "merge: the accumulators are of different aggregators");
        }
        metric_.merge(state(), other.state(), *pool_);
    }
    [[nodiscard]] Accumulator copy() const {
        Accumulator other(*this, 0);
        other.metric_.merge(other.state(), state(), *other.pool_);
        return other;
    }
    [[nodiscard]] MetricValue result(AggregationKind kind, double percentile = 0) const {
        return metric_.result(state(), Aggregation{kind, percentile, "accumulator"});
    }
    [[nodiscard]] py::bytes encode() const {
        ByteWriter out;
        metric_.encode(state(), out);
        return {out.bytes()};
    }
    void decode(const py::bytes& bytes) {
        ByteReader in{std::string_view(bytes)};
        Accumulator decoded(*this, 0);
        decoded.metric_.decode(decoded.state(), in, *decoded.pool_);
        if (in.remaining() != 0) {
            ByteReader::corrupt("bytes are left over");
        }
        std::swap(state_, decoded.state_);
        std::swap(pool_, decoded.pool_);
    }
    [[nodiscard]] std::uint64_t count() const { return metric_.count(state()); }
    [[nodiscard]] double percentile_error() const { return metric_.percentile_error(state()); }

private:
    /// An empty one of the same kind.
    Accumulator(const Accumulator& like, int) : metric_(like.metric_), state_(like.state_.size()) {
        metric_.create(state());
    }

    [[nodiscard]] std::byte* state() noexcept { return reinterpret_cast<std::byte*>(state_.data()); }
    [[nodiscard]] const std::byte* state() const noexcept {
        return reinterpret_cast<const std::byte*>(state_.data());
    }

    Metric metric_;
    std::unique_ptr<SizeClassPool> pool_ = std::make_unique<SizeClassPool>();
    std::vector<std::uint64_t> state_;
};

}  // namespace

void bind_aggregates(py::module_& module) {
    py::class_<Accumulator>(module, "Accumulator", "What an aggregator keeps of the values added to it.")
        .def(py::init<const std::string&, const std::vector<AggregationTuple>&>(), py::arg("type"),
             py::arg("aggregations"))
        .def("add", &Accumulator::add_int, py::arg("value").noconvert(),
             "Takes a value; False if it is not usable.")
        .def("add", &Accumulator::add, py::arg("value"), "Takes a value; False if it is not finite.")
        .def("merge", &Accumulator::merge, py::arg("other"), "Adds everything that the other one holds.")
        .def("copy", &Accumulator::copy)
        .def("encode", &Accumulator::encode, "Bytes that decode() restores exactly.")
        .def("decode", &Accumulator::decode, py::arg("encoded"), "Replaces the content by encoded bytes.")
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
            "percentile",
            [](const Accumulator& self, double p) { return self.result(AggregationKind::kPercentile, p); },
            py::arg("p"), "Nearest rank, p in [0, 100].")
        .def("p50", [](const Accumulator& self) { return self.result(AggregationKind::kPercentile, 50); })
        .def("p95", [](const Accumulator& self) { return self.result(AggregationKind::kPercentile, 95); })
        .def("p99", [](const Accumulator& self) { return self.result(AggregationKind::kPercentile, 99); })
        .def_property_readonly("percentile_error", &Accumulator::percentile_error,
                               "The bound on the relative error of percentiles; 0.0 while they are exact.");
}

}  // namespace llmopt_stream::bindings
