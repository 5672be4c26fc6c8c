#pragma once

#include <array>
#include <cmath>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "record/dictionary_column.hpp"
#include "record/iso8601.hpp"
#include "record/record_batch.hpp"
#include "record/schema.hpp"
#include "record/time.hpp"

namespace llmopt_stream {

/// Builds a RecordBatch record by record. JSON and Python records both go through
/// here, so that a value means the same whichever way it came in. Fields may be set in
/// any order between begin_record() and end_record() or reject(); a setter returns
/// Malformed::kNone or why the record is unusable (then call reject()). Setting the time,
/// a value column, a key field or a label twice is Malformed::kDuplicateField.
class BatchBuilder {
public:
    explicit BatchBuilder(const Schema& schema);

    /// Forgets all records, keeps the memory.
    void clear() noexcept;

    void begin_record();

    /// When the next records happened that do not say it themselves, where anything else knows; kMaxTimestamp
    /// of those that say what no time is.
    void set_default_time(std::optional<Timestamp> time) noexcept { default_time_ = time; }

    [[nodiscard]] Malformed set_time(std::int64_t count) noexcept;
    /// Rounded to the nearest microsecond.
    [[nodiscard]] Malformed set_time(double count) noexcept;
    /// ISO-8601.
    [[nodiscard]] Malformed set_time_text(std::string_view text) noexcept;
    /// Microseconds, whatever unit the schema has (Python datetimes).
    [[nodiscard]] Malformed set_time_micros(Timestamp time) noexcept;
    /// A time field that is null or of a type that is no time.
    [[nodiscard]] Malformed set_time_null() noexcept {
        return default_time_ ? Malformed::kNone : Malformed::kTimeMissing;
    }
    [[nodiscard]] Malformed set_time_unusable() noexcept { return Malformed::kTimeInvalid; }

    /// An integer column takes a double that is one of its integers.
    [[nodiscard]] Malformed set_value(std::size_t column, double value) noexcept;
    [[nodiscard]] Malformed set_value(std::size_t column, std::int64_t value) noexcept;
    /// An integer of JSON or Python beyond int64 goes in as a double.
    /// null, wrong type: the record counts, its value does not.
    [[nodiscard]] Malformed set_value_unusable(std::size_t column) noexcept;

    [[nodiscard]] Malformed set_key_null(std::size_t field) { return key_.set_null(field); }
    [[nodiscard]] Malformed set_key(std::size_t field, bool value) { return key_.set(field, value); }
    [[nodiscard]] Malformed set_key(std::size_t field, std::int64_t value) { return key_.set(field, value); }
    [[nodiscard]] Malformed set_key(std::size_t field, std::uint64_t value) { return key_.set(field, value); }
    [[nodiscard]] Malformed set_key(std::size_t field, double value) { return key_.set(field, value); }
    [[nodiscard]] Malformed set_key(std::size_t field, std::string_view value) {
        return key_.set(field, value);
    }
    /// Otherwise a literal would become a bool.
    [[nodiscard]] Malformed set_key(std::size_t field, const char* value) {
        return set_key(field, std::string_view(value));
    }

    /// A label that is no scalar is null, and so is a number that is not finite.
    [[nodiscard]] Malformed set_label_null(std::size_t column) { return labels_[column].set_null(0); }
    [[nodiscard]] Malformed set_label(std::size_t column, bool value) {
        return labels_[column].set(0, value);
    }
    [[nodiscard]] Malformed set_label(std::size_t column, std::int64_t value) {
        return labels_[column].set(0, value);
    }
    [[nodiscard]] Malformed set_label(std::size_t column, std::uint64_t value) {
        return labels_[column].set(0, value);
    }
    [[nodiscard]] Malformed set_label(std::size_t column, double value) {
        return std::isfinite(value) ? labels_[column].set(0, value) : set_label_null(column);
    }
    [[nodiscard]] Malformed set_label(std::size_t column, std::string_view value) {
        return labels_[column].set(0, value);
    }
    [[nodiscard]] Malformed set_label(std::size_t column, const char* value) {
        return set_label(column, std::string_view(value));
    }

    /// Adds the record unless it has no time (then it is rejected); fields not set are null.
    Malformed end_record();
    /// Counts the record as malformed and drops what was set.
    void reject(Malformed why);

    /// Valid until the next clear() or begin_record().
    [[nodiscard]] RecordBatch batch() const;

    /// Records of this batch so far, rejected ones included.
    [[nodiscard]] std::size_t input_records() const noexcept { return input_records_; }
    /// How many records of this batch were rejected, by reason.
    [[nodiscard]] const std::array<std::uint64_t, kMalformedKinds>& malformed() const noexcept {
        return malformed_;
    }
    /// The first value column that an accepted record has a finite number for which does not fit:
    /// an integer column that is not declared to be one. Reset by clear().
    [[nodiscard]] std::optional<std::size_t> unfit_column() const noexcept { return unfit_column_; }
    /// The first time refused as kTimeInvalid because, without a unit given, it lies before
    /// 1990: the number (rounded down), to say so in a hint. Reset by clear().
    [[nodiscard]] const std::int64_t* suspicious_time() const noexcept {
        return has_suspicious_time_ ? &suspicious_time_ : nullptr;
    }
    /// The number of accepted records before the suspicious one.
    [[nodiscard]] std::size_t records_before_suspicious() const noexcept {
        return records_before_suspicious_;
    }

private:
    /// Sized for `capacity_` records; the slot of the record under construction is size_.
    struct Column {
        FieldType type;
        bool is_declared = false;
        bool all_present = true;
        bool is_set = false;
        std::vector<double> float64;
        std::vector<std::int64_t> int64;
        std::vector<std::uint8_t> present;
    };

    void grow();
    [[nodiscard]] Malformed store_time(Timestamp time) noexcept;
    [[nodiscard]] Malformed store_unspecified_time(Timestamp micros) noexcept;
    void store_missing(Column& column) const noexcept;
    void note_unfit(std::size_t column) noexcept;

    TimeUnit time_unit_;
    Iso8601Parser time_parser_;

    // The record under construction.
    bool has_time_ = false;
    std::optional<Timestamp> default_time_;

    // The batch.
    std::size_t size_ = 0;
    std::size_t capacity_ = 0;
    std::vector<Timestamp> times_;
    DictionaryColumn key_;
    std::vector<Column> columns_;
    std::vector<DictionaryColumn> labels_;
    /// Written only once a record was rejected.
    std::vector<std::uint32_t> input_index_;
    bool any_rejected_ = false;
    std::size_t input_records_ = 0;
    std::array<std::uint64_t, kMalformedKinds> malformed_{};
    bool has_suspicious_time_ = false;
    std::int64_t suspicious_time_ = 0;
    std::size_t records_before_suspicious_ = 0;
    std::optional<std::size_t> unfit_column_;
    std::size_t unfit_record_ = 0;
};

}  // namespace llmopt_stream
