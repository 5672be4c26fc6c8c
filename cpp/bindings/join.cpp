#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "bindings/bindings.hpp"
#include "bindings/python_records.hpp"
#include "operator/interval_join.hpp"
#include "record/batch_builder.hpp"
#include "record/error.hpp"
#include "record/key.hpp"

namespace llmopt_stream::bindings {
namespace {

Schema schema_of_keys(std::vector<std::string> paths) {
    Schema schema;
    schema.key_paths = std::move(paths);
    return schema;
}

std::optional<std::uint64_t> row_of(std::uint64_t id) {
    return id == JoinOutput::kNoRow ? std::nullopt : std::optional(id);
}

/// An interval join of Python's records, which stay there: it knows their keys, times and numbers.
class RecordJoin {
public:
    RecordJoin(std::vector<std::string> left, std::vector<std::string> right, Duration lower, Duration upper,
               bool left_outer, bool right_outer)
        : schemas_{schema_of_keys(std::move(left)), schema_of_keys(std::move(right))},
          decoders_{PythonRecordDecoder(schemas_[0]), PythonRecordDecoder(schemas_[1])},
          builders_{BatchBuilder(schemas_[0]), BatchBuilder(schemas_[1])},
          join_({lower, upper,
                 left_outer ? (right_outer ? JoinKind::kFull : JoinKind::kLeft)
                            : (right_outer ? JoinKind::kRight : JoinKind::kInner)}) {}

    /// Numbers and watermarks are one for each record.
    py::tuple push(std::size_t side, const py::list& records, const std::vector<std::uint64_t>& ids,
                   const std::vector<Timestamp>& times, const std::vector<Timestamp>& watermarks) {
        if (side > 1 || ids.size() != records.size() || times.size() != records.size() ||
            watermarks.size() != records.size()) {
            throw Error(ErrorKind::kPipeline,
                        "join: an id, a time and a watermark are needed for each record");
        }
        BatchBuilder& builder = builders_.at(side);
        builder.clear();
        for (std::size_t record = 0; record < records.size(); ++record) {
            decoders_.at(side).decode(records[record], builder, times[record]);
        }
        const RecordBatch batch = builder.batch();
        std::vector<std::uint64_t> own_ids;
        std::vector<Timestamp> own_watermarks;
        std::vector<bool> taken(records.size());
        for (std::size_t row = 0; row < batch.size; ++row) {
            const std::size_t record = batch.input_index.empty() ? row : batch.input_index[row];
            own_ids.push_back(ids[record]);
            own_watermarks.push_back(watermarks[record]);
            taken[record] = true;
        }
        std::vector<std::uint8_t> null_key;
        for (std::uint32_t key = 0; key < batch.keys->size(); ++key) {
            bool has_null = false;
            for (const KeyValue& field : key_encoding::decode(batch.keys->key(key))) {
                has_null = has_null || std::holds_alternative<std::monostate>(field);
            }
            null_key.push_back(has_null ? 1 : 0);
        }
        JoinOutput out;
        join_.on_batch(side == 0 ? JoinSide::kLeft : JoinSide::kRight,
                       {own_ids, batch.event_time, batch.key, batch.keys, null_key, own_watermarks, 0,
                        batch.input_index},
                       out);
        py::list malformed;
        for (std::size_t record = 0; record < records.size(); ++record) {
            if (!taken[record]) {
                malformed.append(record);
            }
        }
        return said(out, malformed);
    }

    py::tuple advance(Timestamp watermark) {
        JoinOutput out;
        join_.on_watermark(watermark, 0, out);
        return said(out, py::list());
    }

    [[nodiscard]] std::size_t live_rows() const noexcept { return join_.live_rows(); }
    [[nodiscard]] py::bytes snapshot() const {
        ByteWriter out;
        join_.encode(out);
        return out.bytes();
    }
    void restore(const std::string& bytes) {
        ByteReader in(bytes);
        join_.decode(in);
    }

private:
    static py::tuple said(const JoinOutput& out, const py::list& malformed) {
        py::list rows;
        for (std::size_t row = 0; row < out.size(); ++row) {
            rows.append(py::make_tuple(row_of(out.left[row]), row_of(out.right[row]), out.event_time[row],
                                       out.fired_at[row]));
        }
        py::list late;
        for (const JoinOutput::LateRow& row : out.late) {
            late.append(py::make_tuple(static_cast<int>(row.side), row.id, row.watermark));
        }
        return py::make_tuple(std::move(rows), std::move(late), malformed, out.forgotten);
    }

    std::array<Schema, 2> schemas_;
    std::array<PythonRecordDecoder, 2> decoders_;
    std::array<BatchBuilder, 2> builders_;
    IntervalJoin join_;
};

}  // namespace

void bind_join(py::module_& module) {
    py::class_<RecordJoin>(
        module, "RecordJoin",
        "An interval join of records by their numbers. Both return (rows, late, malformed, "
        "forgotten): (left or None, right or None, time, fired at), (side, id, watermark), "
        "places, ids by side.")
        .def(py::init<std::vector<std::string>, std::vector<std::string>, Duration, Duration, bool, bool>(),
             py::arg("left"), py::arg("right"), py::arg("lower"), py::arg("upper"), py::arg("left_outer"),
             py::arg("right_outer"))
        .def("push", &RecordJoin::push, py::arg("side"), py::arg("records"), py::arg("ids"), py::arg("times"),
             py::arg("watermarks"))
        .def("advance", &RecordJoin::advance, py::arg("watermark"))
        .def("live_rows", &RecordJoin::live_rows)
        .def("snapshot", &RecordJoin::snapshot)
        .def("restore", &RecordJoin::restore, py::arg("bytes"));
}

}  // namespace llmopt_stream::bindings
