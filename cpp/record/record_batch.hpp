#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "record/key_dictionary.hpp"
#include "record/schema.hpp"
#include "record/time.hpp"

namespace llmopt_stream {

/// One field of all records of a batch. Exactly one of the two spans is used, as `type` says.
struct ValueColumn {
    FieldType type = FieldType::kFloat64;
    /// NaN or ±Inf where a record has no usable value.
    std::span<const double> float64;
    std::span<const std::int64_t> int64;
    /// For int64: 1 where a record has a value; empty means everywhere.
    std::span<const std::uint8_t> present;
};

/// One field of all records of a batch as it is, whatever its type.
struct LabelColumn {
    /// Index into `values`.
    std::span<const std::uint32_t> code;
    /// Each encoded as a key of one field; null where the field is missing or no scalar.
    const KeyDictionary* values = nullptr;
};

/// What flows: columns of the fields that the plan needs, in input order. The spans
/// view memory of the decoder or of the Arrow array in `owner`; they are valid until
/// the decoder is asked for its next batch.
struct RecordBatch {
    /// Number of usable records.
    std::size_t size = 0;
    std::span<const Timestamp> event_time;
    /// The event times where `event_time` has the clock's instead, as windows by the clock have it.
    std::span<const Timestamp> own_event_time;
    /// Index into `keys`.
    std::span<const std::uint32_t> key;
    const KeyDictionary* keys = nullptr;
    std::vector<ValueColumn> values;
    std::vector<LabelColumn> labels;
    /// Each 1 for the records that are selected and 0 for the others.
    std::vector<std::span<const std::uint8_t>> selections;
    /// Where a session's gap differs from record to record: in microseconds, positive.
    std::span<const Duration> gap;
    /// Where the windows of each record are given: those of record i end at window_ends[i],
    /// earliest first.
    std::span<const Interval> windows;
    std::span<const std::uint32_t> window_ends;
    /// For each usable record its place among all input records of this batch, malformed
    /// ones included; empty means that record i is input record i.
    std::span<const std::uint32_t> input_index;
    /// All input records, malformed ones included.
    std::size_t input_records = 0;
    /// How many input records of the stream came before this batch. A part of a batch does not say.
    std::uint64_t first_position = 0;
    std::shared_ptr<const void> owner;

    /// How many input records of the stream came before a record of a whole batch.
    [[nodiscard]] std::uint64_t position_of(std::size_t record) const noexcept {
        return first_position + (input_index.empty() ? record : input_index[record]);
    }
    /// When a record happened.
    [[nodiscard]] Timestamp time_of(std::size_t record) const noexcept {
        return own_event_time.empty() ? event_time[record] : own_event_time[record];
    }
};

}  // namespace llmopt_stream
