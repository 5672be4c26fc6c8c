#include "record/batch_builder.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

namespace llmopt_stream {
namespace {

constexpr std::size_t kInitialCapacity = 256;
constexpr double kMissing = std::numeric_limits<double>::quiet_NaN();

// Integers outside these are nearly always another unit than microseconds.
constexpr Timestamp kPlausibleBegin = 631'152'000'000'000;    // 1990-01-01
constexpr Timestamp kPlausibleEnd = 253'402'300'800'000'000;  // 10000-01-01

/// false also for NaN.
bool fits_int64(double value) { return value >= -0x1p63 && value < 0x1p63; }

}  // namespace

BatchBuilder::BatchBuilder(const Schema& schema)
    : time_unit_(schema.time_unit), key_(schema.key_paths.size()) {
    columns_.reserve(schema.values.size());
    for (const ValueField& field : schema.values) {
        Column& column = columns_.emplace_back();
        column.type = field.type;
        column.is_declared = field.type_is_declared;
    }
    labels_.assign(schema.labels.size(), DictionaryColumn(1));
}

void BatchBuilder::clear() noexcept {
    size_ = 0;
    for (Column& column : columns_) {
        column.all_present = true;
    }
    key_.clear();
    for (DictionaryColumn& label : labels_) {
        label.clear();
    }
    any_rejected_ = false;
    input_records_ = 0;
    malformed_.fill(0);
    has_suspicious_time_ = false;
    records_before_suspicious_ = 0;
    unfit_column_.reset();
}

void BatchBuilder::begin_record() {
    if (size_ == capacity_) {
        grow();
    }
    has_time_ = false;
    key_.begin_record();
    for (Column& column : columns_) {
        column.is_set = false;
    }
    for (DictionaryColumn& label : labels_) {
        label.begin_record();
    }
}

void BatchBuilder::grow() {
    const std::size_t capacity = std::max(kInitialCapacity, capacity_ * 2);
    times_.resize(capacity);
    key_.reserve(capacity);
    for (DictionaryColumn& label : labels_) {
        label.reserve(capacity);
    }
    input_index_.resize(capacity);
    for (Column& column : columns_) {
        if (column.type == FieldType::kFloat64) {
            column.float64.resize(capacity);
        } else {
            column.int64.resize(capacity);
            column.present.resize(capacity);
        }
    }
    capacity_ = capacity;
}

Malformed BatchBuilder::store_time(Timestamp time) noexcept {
    if (has_time_) {
        return Malformed::kDuplicateField;
    }
    has_time_ = true;
    times_[size_] = time;
    return Malformed::kNone;
}

Malformed BatchBuilder::store_unspecified_time(Timestamp micros) noexcept {
    if (micros >= kPlausibleBegin && micros < kPlausibleEnd) {
        return store_time(micros);
    }
    if (micros < kPlausibleBegin && !has_suspicious_time_) {
        has_suspicious_time_ = true;
        suspicious_time_ = micros;
        records_before_suspicious_ = size_;
    }
    return Malformed::kTimeInvalid;
}

Malformed BatchBuilder::set_time(std::int64_t count) noexcept {
    std::int64_t micros = 0;
    switch (time_unit_) {
        case TimeUnit::kUnspecified: return store_unspecified_time(count);
        case TimeUnit::kMicrosecond: return store_time(count);
        case TimeUnit::kNanosecond: return store_time(count / 1000 - (count % 1000 < 0 ? 1 : 0));
        case TimeUnit::kMillisecond:
            return __builtin_mul_overflow(count, 1000, &micros) ? Malformed::kTimeInvalid
                                                                : store_time(micros);
        case TimeUnit::kSecond:
            return __builtin_mul_overflow(count, 1'000'000, &micros) ? Malformed::kTimeInvalid
                                                                     : store_time(micros);
    }
    return Malformed::kTimeInvalid;
}

Malformed BatchBuilder::set_time(double count) noexcept {
    double micros = count;
    switch (time_unit_) {
        case TimeUnit::kUnspecified:
        case TimeUnit::kMicrosecond: break;
        case TimeUnit::kNanosecond: micros = count / 1e3; break;
        case TimeUnit::kMillisecond: micros = count * 1e3; break;
        case TimeUnit::kSecond: micros = count * 1e6; break;
    }
    if (!fits_int64(micros)) {
        return Malformed::kTimeInvalid;
    }
    // Nothing at or above 2^52 has a fraction, so rounding cannot leave the range.
    const auto rounded = static_cast<Timestamp>(std::nearbyint(micros));
    return time_unit_ == TimeUnit::kUnspecified ? store_unspecified_time(rounded) : store_time(rounded);
}

Malformed BatchBuilder::set_time_text(std::string_view text) noexcept {
    const std::optional<Timestamp> time = time_parser_.parse(text);
    return time ? store_time(*time) : Malformed::kTimeInvalid;
}

Malformed BatchBuilder::set_time_micros(Timestamp time) noexcept { return store_time(time); }

void BatchBuilder::store_missing(Column& column) const noexcept {
    if (column.type == FieldType::kFloat64) {
        column.float64[size_] = kMissing;
    } else {
        column.int64[size_] = 0;
        column.present[size_] = 0;
    }
}

void BatchBuilder::note_unfit(std::size_t column) noexcept {
    if (!columns_[column].is_declared && !unfit_column_) {
        unfit_column_ = column;
        unfit_record_ = input_records_;
    }
}

Malformed BatchBuilder::set_value(std::size_t index, double value) noexcept {
    Column& column = columns_[index];
    if (column.is_set) {
        return Malformed::kDuplicateField;
    }
    column.is_set = true;
    if (column.type == FieldType::kFloat64) {
        column.float64[size_] = value;
    } else if (fits_int64(value) && value == std::trunc(value)) {
        column.int64[size_] = static_cast<std::int64_t>(value);
        column.present[size_] = 1;
    } else {
        store_missing(column);
        if (std::isfinite(value)) {
            note_unfit(index);
        }
    }
    return Malformed::kNone;
}

Malformed BatchBuilder::set_value(std::size_t index, std::int64_t value) noexcept {
    Column& column = columns_[index];
    if (column.is_set) {
        return Malformed::kDuplicateField;
    }
    column.is_set = true;
    if (column.type == FieldType::kFloat64) {
        column.float64[size_] = static_cast<double>(value);
    } else {
        column.int64[size_] = value;
        column.present[size_] = 1;
    }
    return Malformed::kNone;
}

Malformed BatchBuilder::set_value_unusable(std::size_t index) noexcept {
    Column& column = columns_[index];
    if (column.is_set) {
        return Malformed::kDuplicateField;
    }
    column.is_set = true;
    store_missing(column);
    return Malformed::kNone;
}

Malformed BatchBuilder::end_record() {
    if (!has_time_) {
        const Malformed why = !default_time_                    ? Malformed::kTimeMissing
                              : *default_time_ == kMaxTimestamp ? Malformed::kTimeInvalid
                                                                : Malformed::kNone;
        if (why != Malformed::kNone) {
            reject(why);
            return why;
        }
        times_[size_] = *default_time_;
    }
    for (Column& column : columns_) {
        if (!column.is_set) {
            store_missing(column);
        }
        // Only an accepted record may say so: a rejected one leaves its slot to the next.
        column.all_present &= column.type == FieldType::kFloat64 || column.present[size_] != 0;
    }
    key_.end_record(size_);
    for (DictionaryColumn& label : labels_) {
        label.end_record(size_);
    }
    if (any_rejected_) {
        input_index_[size_] = static_cast<std::uint32_t>(input_records_);
    }
    ++size_;
    ++input_records_;
    return Malformed::kNone;
}

void BatchBuilder::reject(Malformed why) {
    if (!any_rejected_) {
        any_rejected_ = true;
        std::iota(input_index_.begin(), input_index_.begin() + static_cast<std::ptrdiff_t>(size_), 0U);
    }
    if (unfit_column_ && unfit_record_ == input_records_) {
        unfit_column_.reset();
    }
    ++malformed_[static_cast<std::size_t>(why)];
    ++input_records_;
}

RecordBatch BatchBuilder::batch() const {
    RecordBatch batch;
    batch.size = size_;
    batch.event_time = {times_.data(), size_};
    batch.key = key_.codes(size_);
    batch.keys = &key_.dictionary();
    batch.values.reserve(columns_.size());
    for (const Column& column : columns_) {
        ValueColumn& values = batch.values.emplace_back();
        values.type = column.type;
        if (column.type == FieldType::kFloat64) {
            values.float64 = {column.float64.data(), size_};
        } else {
            values.int64 = {column.int64.data(), size_};
            if (!column.all_present) {
                values.present = {column.present.data(), size_};
            }
        }
    }
    for (const DictionaryColumn& label : labels_) {
        batch.labels.push_back({label.codes(size_), &label.dictionary()});
    }
    if (any_rejected_) {
        batch.input_index = {input_index_.data(), size_};
    }
    batch.input_records = input_records_;
    return batch;
}

}  // namespace llmopt_stream
