#include "bindings/user_metric.hpp"

#include <cmath>
#include <cstdint>
#include <memory>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "aggregate/state_part.hpp"
#include "bindings/results.hpp"
#include "bindings/settings.hpp"
#include "bindings/user_calls.hpp"

namespace llmopt_stream::bindings {
namespace {

/// A user's methods, and what Python does where they fail.
struct AggregatorCalls {
    explicit AggregatorCalls(const py::object& calls)
        : create(calls.attr("create_accumulator")),
          add(calls.attr("add")),
          add_batch(calls.attr("add_batch")),
          merge(calls.attr("merge")),
          copy(calls.attr("copy")),
          get_result(calls.attr("get_result")),
          to_bytes(calls.attr("to_bytes")),
          from_bytes(calls.attr("from_bytes")),
          plain(calls.attr("plain")),
          failed_merge(calls.attr("FailedMerge")),
          add_failed(calls.attr("add_failed")),
          add_batch_failed(calls.attr("add_batch_failed")),
          merge_failed(calls.attr("merge_failed")),
          merge_had_failed(calls.attr("merge_had_failed")),
          result_failed(calls.attr("result_failed")) {}

    py::object create, add, add_batch, merge, copy, get_result, to_bytes, from_bytes, plain;
    /// The class of what takes the place of an accumulator that could not be merged.
    py::object failed_merge;
    py::object add_failed, add_batch_failed, merge_failed, merge_had_failed, result_failed;
};

enum class Encoded : std::uint8_t { kNone, kBytes, kFailedMerge, kHeld };

/// The state is a reference to the accumulator; null until there is a value.
class UserMetric final : public Metric {
public:
    UserMetric(std::shared_ptr<const AggregatorCalls> calls, std::size_t column, FieldType type,
               std::string name)
        : calls_(std::move(calls)), column_(column), type_(type), name_(std::move(name)) {}

    [[nodiscard]] std::size_t state_bytes() const noexcept override { return sizeof(PyObject*); }
    void create(std::byte* state) const noexcept override { store_part<PyObject*>(state, nullptr); }
    void destroy(std::byte* state, SizeClassPool&) const noexcept override {
        if (auto* const held = load_part<PyObject*>(state)) {
            const py::gil_scoped_acquire gil;
            Py_DECREF(held);
        }
    }

    std::uint64_t add(std::span<std::byte* const> rows, std::size_t offset, const RecordBatch& batch,
                      std::size_t first, SizeClassPool&) const override {
        const py::gil_scoped_acquire gil;
        if (!calls_->add_batch.is_none()) {
            return add_together(rows, offset, batch, first);
        }
        std::uint64_t skipped = 0;
        for (std::size_t i = 0; i < rows.size(); ++i) {
            if (has_value(batch, first + i)) {
                add_one(rows[i] + offset, batch, first + i);
            } else {
                ++skipped;
            }
        }
        return skipped;
    }

    void merge(std::byte* into, const std::byte* from, SizeClassPool&) const override {
        const py::handle other = load_part<PyObject*>(from);
        if (!other) {
            return;
        }
        const py::gil_scoped_acquire gil;
        const py::handle own = load_part<PyObject*>(into);
        if (own && is_failed(own)) {
            return;
        }
        if (is_failed(other)) {
            set(into, py::reinterpret_borrow<py::object>(other));
            return;
        }
        py::object merged;
        try {
            // A copy, whatever merge does with it: the accumulator is merged into other windows as well.
            merged = calls_->copy(other);
            if (own) {
                py::object returned = calls_->merge(own, merged);
                merged = returned.is_none() ? py::reinterpret_borrow<py::object>(own) : std::move(returned);
            }
        } catch (const py::error_already_set& raised) {
            let_out_if_no_error(raised);
            merged = calls_->merge_failed(raised.value(), optional(own), other);
        }
        set(into, std::move(merged));
    }

    void make_result_columns(std::vector<ResultColumn>& columns) const override {
        columns.push_back({name_, ResultType::kNested});
    }
    void append_results(const std::byte* state, const Interval& window,
                        std::span<ResultColumn> results) const override {
        append_pane_results(state, {{}, window, 0}, results);
    }
    void append_pane_results(const std::byte* state, const PanePlace& pane,
                             std::span<ResultColumn> results) const override {
        const py::handle held = load_part<PyObject*>(state);
        if (!held) {
            results[0].append_null();
            return;
        }
        const py::gil_scoped_acquire gil;
        const auto place = [&] {
            return py::make_tuple(key_tuple(pane.key), pane.window.start, pane.window.end, pane.position);
        };
        if (is_failed(held)) {
            calls_->merge_had_failed(held, place());
            results[0].append_null();
            return;
        }
        ResultValue result;
        try {
            result = result_value_of(calls_->get_result(held), calls_->plain);
        } catch (const py::error_already_set& raised) {
            let_out_if_no_error(raised);
            result = result_value_of(calls_->result_failed(raised.value(), held, place()), calls_->plain);
        }
        results[0].append(std::move(result));
    }

    void encode(const std::byte* state, ByteWriter& out) const override {
        auto* const held = load_part<PyObject*>(state);
        if (held == nullptr) {
            out.write(static_cast<std::uint8_t>(Encoded::kNone));
            return;
        }
        const py::gil_scoped_acquire gil;
        if (out.held() != nullptr) {
            out.write(static_cast<std::uint8_t>(Encoded::kHeld));
            out.write<std::uint64_t>(out.held()->size());
            out.held()->push_back(share_python(new py::object(py::reinterpret_borrow<py::object>(held))));
            return;
        }
        const bool failed = is_failed(held);
        const auto bytes = failed ? py::handle(held).attr("to_bytes")() : calls_->to_bytes(py::handle(held));
        out.write(static_cast<std::uint8_t>(failed ? Encoded::kFailedMerge : Encoded::kBytes));
        out.write_bytes(std::string_view(bytes.cast<py::bytes>()));
    }
    void decode(std::byte* state, ByteReader& in, SizeClassPool&) const override {
        const auto encoded = in.read<std::uint8_t>();
        if (encoded == static_cast<std::uint8_t>(Encoded::kNone)) {
            return;
        }
        const py::gil_scoped_acquire gil;
        switch (static_cast<Encoded>(encoded)) {
            case Encoded::kHeld: set(state, *static_cast<const py::object*>(in.read_held().get())); break;
            case Encoded::kBytes: set(state, calls_->from_bytes(py::bytes(in.read_bytes()))); break;
            case Encoded::kFailedMerge:
                set(state, calls_->failed_merge.attr("from_bytes")(py::bytes(in.read_bytes())));
                break;
            default: ByteReader::corrupt("an unknown kind of accumulator");
        }
    }

    [[nodiscard]] bool in_one_thread() const noexcept override { return true; }

private:
    static void set(std::byte* state, py::object accumulator) {
        auto* const before = load_part<PyObject*>(state);
        store_part(state, accumulator.release().ptr());
        Py_XDECREF(before);
    }
    /// () or (accumulator,)
    static py::tuple optional(py::handle accumulator) {
        return accumulator ? py::make_tuple(accumulator) : py::tuple();
    }
    [[nodiscard]] bool is_failed(py::handle accumulator) const {
        return reinterpret_cast<PyObject*>(Py_TYPE(accumulator.ptr())) == calls_->failed_merge.ptr();
    }

    [[nodiscard]] bool has_value(const RecordBatch& batch, std::size_t record) const noexcept {
        const ValueColumn& column = batch.values[column_];
        return type_ == FieldType::kInt64 ? column.present.empty() || column.present[record] != 0
                                          : std::isfinite(column.float64[record]);
    }
    [[nodiscard]] py::object value_of(const RecordBatch& batch, std::size_t record) const {
        const ValueColumn& column = batch.values[column_];
        return type_ == FieldType::kInt64 ? py::object(py::int_(column.int64[record]))
                                          : py::object(py::float_(column.float64[record]));
    }
    [[nodiscard]] py::object values_of(const RecordBatch& batch,
                                       const std::vector<std::size_t>& records) const {
        const ValueColumn& column = batch.values[column_];
        const auto gather = [&](const auto& from) -> py::object {
            using Value = std::decay_t<decltype(from)>::value_type;
            py::array_t<Value> values(static_cast<py::ssize_t>(records.size()));
            Value* to = values.mutable_data();
            for (const std::size_t record : records) {
                *to++ = from[record];
            }
            return values;
        };
        return type_ == FieldType::kInt64 ? gather(column.int64) : gather(column.float64);
    }
    /// (key, event time, windows where the batch says them, position); nothing of a record by itself.
    static py::object place_of(const RecordBatch& batch, std::size_t record) {
        if (batch.keys == nullptr) {
            return py::none();
        }
        const Timestamp time = batch.event_time[record];
        py::object windows = py::none();
        if (!batch.window_ends.empty()) {
            py::list spans;
            for (std::uint32_t at = record == 0 ? 0 : batch.window_ends[record - 1];
                 at < batch.window_ends[record]; ++at) {
                spans.append(py::make_tuple(batch.windows[at].start, batch.windows[at].end));
            }
            windows = std::move(spans);
        } else if (!batch.gap.empty()) {
            py::list spans;
            spans.append(py::make_tuple(time, add_saturating(time, batch.gap[record])));
            windows = std::move(spans);
        }
        return py::make_tuple(key_tuple(batch.keys->key(batch.key[record])), time, std::move(windows),
                              batch.position_of(record));
    }

    void add_one(std::byte* state, const RecordBatch& batch, std::size_t record) const {
        auto accumulator = py::reinterpret_borrow<py::object>(load_part<PyObject*>(state));
        if (accumulator && is_failed(accumulator)) {
            return;
        }
        const py::object value = value_of(batch, record);
        try {
            if (!accumulator) {
                accumulator = calls_->create();
            }
            keep(state, accumulator, calls_->add(accumulator, value));
        } catch (const py::error_already_set& raised) {
            let_out_if_no_error(raised);
            const py::object added =
                calls_->add_failed(raised.value(), optional(accumulator), value, place_of(batch, record));
            if (!added.is_none()) {
                set(state, added.cast<py::tuple>()[0]);
            }
        }
    }

    /// All values of one row at a time.
    std::uint64_t add_together(std::span<std::byte* const> rows, std::size_t offset, const RecordBatch& batch,
                               std::size_t first) const {
        std::vector<std::pair<std::byte*, std::vector<std::size_t>>> groups;
        std::unordered_map<std::byte*, std::size_t> group_of;
        std::uint64_t skipped = 0;
        for (std::size_t i = 0; i < rows.size(); ++i) {
            if (!has_value(batch, first + i)) {
                ++skipped;
                continue;
            }
            const auto [at, is_new] = group_of.try_emplace(rows[i], groups.size());
            if (is_new) {
                groups.push_back({rows[i] + offset, {}});
            }
            groups[at->second].second.push_back(first + i);
        }
        for (const auto& [state, records] : groups) {
            add_group(state, batch, records);
        }
        return skipped;
    }
    void add_group(std::byte* state, const RecordBatch& batch,
                   const std::vector<std::size_t>& records) const {
        auto accumulator = py::reinterpret_borrow<py::object>(load_part<PyObject*>(state));
        if (accumulator && is_failed(accumulator)) {
            return;
        }
        try {
            if (!accumulator) {
                accumulator = calls_->create();
            }
            keep(state, accumulator, calls_->add_batch(accumulator, values_of(batch, records)));
        } catch (const py::error_already_set& raised) {
            let_out_if_no_error(raised);
            py::list values;
            py::list places;
            for (const std::size_t record : records) {
                values.append(value_of(batch, record));
                places.append(place_of(batch, record));
            }
            // Where it returns, the values are added one by one, so that those at fault are found.
            calls_->add_batch_failed(raised.value(), optional(accumulator), values, places);
            for (const std::size_t record : records) {
                add_one(state, batch, record);
            }
        }
    }
    /// Adding changes an accumulator and returns None, or returns the one to go on with.
    static void keep(std::byte* state, const py::object& accumulator, const py::object& returned) {
        set(state, returned.is_none() ? accumulator : returned);
    }

    std::shared_ptr<const AggregatorCalls> calls_;
    std::size_t column_;
    FieldType type_;
    std::string name_;
};

}  // namespace

MetricFactory user_metric_of(const py::dict& settings) {
    const std::shared_ptr<const AggregatorCalls> calls =
        share_python(new AggregatorCalls(py::object(settings["calls"])));
    return [calls, column = setting<std::vector<std::size_t>>(settings, "columns").at(0),
            name = setting<std::vector<std::string>>(settings, "results").at(0)](
               const std::vector<FieldType>& types) {
        return std::make_shared<const UserMetric>(calls, column, types.at(column), name);
    };
}

}  // namespace llmopt_stream::bindings
