#include "source/arrow_times.hpp"

#include <cmath>
#include <numeric>

#include "record/iso8601.hpp"
#include "source/arrow_number.hpp"
#include "source/arrow_text.hpp"

namespace llmopt_stream {
namespace {

// Without a unit given, counts outside these are nearly always another unit than microseconds.
constexpr Timestamp kPlausibleBegin = 631'152'000'000'000;    // 1990-01-01
constexpr Timestamp kPlausibleEnd = 253'402'300'800'000'000;  // 10000-01-01
constexpr Duration kMicrosPerDay = 86'400'000'000;

std::optional<Timestamp> scaled(std::int64_t count, std::int64_t micros_per_count) noexcept {
    Timestamp micros = 0;
    return __builtin_mul_overflow(count, micros_per_count, &micros) ? std::nullopt : std::optional(micros);
}

bool is_aligned(const void* data) { return reinterpret_cast<std::uintptr_t>(data) % alignof(Timestamp) == 0; }

}  // namespace

std::optional<Timestamp> micros_of(std::int64_t count, TimeUnit unit) noexcept {
    switch (unit) {
        case TimeUnit::kSecond: return scaled(count, 1'000'000);
        case TimeUnit::kMillisecond: return scaled(count, 1000);
        case TimeUnit::kNanosecond: return count / 1000 - (count % 1000 < 0 ? 1 : 0);
        case TimeUnit::kUnspecified:
        case TimeUnit::kMicrosecond: break;
    }
    return count;
}

std::optional<Timestamp> arrow_time_at(ArrowType type, const ArrowColumnView& view,
                                       std::size_t row) noexcept {
    switch (type.kind) {
        case ArrowKind::kDate32:
            return scaled(load_at<std::int32_t>(view.data(), view.first + row), kMicrosPerDay);
        case ArrowKind::kDate64:
            return micros_of(load_at<std::int64_t>(view.data(), view.first + row), TimeUnit::kMillisecond);
        default: return micros_of(load_at<std::int64_t>(view.data(), view.first + row), type.unit);
    }
}

ArrowTimes::ArrowTimes(const ArrowSchema& root, const Schema& schema)
    : column_(root, schema.time_path), unit_(schema.time_unit) {
    const ArrowKind kind = column_.type().kind;
    if (!is_time(kind) && !is_integer(kind) && !is_float(kind) && !is_text(kind) &&
        kind != ArrowKind::kNull) {
        column_.refuse("an event time is a timestamp, a date, a number or ISO-8601 text");
    }
}

void ArrowTimes::read(const ArrowArray& top, std::size_t first, std::size_t size, Buffers& buffers) {
    buffers_ = &buffers;
    size_ = 0;
    any_rejected_ = false;
    malformed_.fill(0);
    suspicious_time_.reset();
    records_before_suspicious_ = 0;

    const ArrowColumnView view = column_.view(top, first, size, validity_);
    if (read_in_place(view)) {
        return;
    }
    if (buffers.times.size() < size) {
        buffers.times.resize(size);
        buffers.rows.resize(size);
    }
    if (!column_.is_dictionary()) {
        read_values(view, {.size = size});
    } else {
        const ArrowColumnView values = column_.dictionary(view);
        column_.dictionary_rows(view, {.size = size}, values.size, dictionary_rows_);
        read_values(values, {.size = size, .rows = dictionary_rows_.data()});
    }
    times_ = {buffers.times.data(), size_};
}

ArrowRows ArrowTimes::rows() const noexcept {
    return {.size = size_, .rows = any_rejected_ ? buffers_->rows.data() : nullptr};
}

bool ArrowTimes::read_in_place(const ArrowColumnView& view) {
    const ArrowType type = column_.type();
    const bool is_micros = type.kind == ArrowKind::kTimestamp && type.unit == TimeUnit::kMicrosecond;
    const bool counts_micros = type.kind == ArrowKind::kInt64 &&
                               (unit_ == TimeUnit::kMicrosecond || unit_ == TimeUnit::kUnspecified);
    if (column_.is_dictionary() || view.validity != nullptr || !(is_micros || counts_micros) ||
        !is_aligned(view.data())) {
        return false;
    }
    const std::span<const Timestamp> times(static_cast<const Timestamp*>(view.data()) + view.first,
                                           view.size);
    if (!is_micros && unit_ == TimeUnit::kUnspecified) {
        for (const Timestamp time : times) {
            if (time < kPlausibleBegin || time >= kPlausibleEnd) {
                return false;
            }
        }
    }
    times_ = times;
    size_ = view.size;
    return true;
}

void ArrowTimes::read_values(const ArrowColumnView& view, ArrowRows rows) {
    const ArrowType type = column_.type();
    const auto null = [this](std::size_t k) { reject(k, Malformed::kTimeMissing); };
    if (type.kind == ArrowKind::kNull) {
        for (std::size_t k = 0; k < rows.size; ++k) {
            null(k);
        }
    } else if (is_time(type.kind)) {
        const auto visit = [&](std::size_t k, std::size_t row) {
            if (const std::optional<Timestamp> time = arrow_time_at(type, view, row)) {
                accept(k, *time);
            } else {
                reject(k, Malformed::kTimeInvalid);
            }
        };
        for_each_row(view, rows, visit, null);
    } else if (is_text(type.kind)) {
        with_arrow_texts(column_, view, [&](const auto& texts) {
            const auto visit = [&](std::size_t k, std::size_t row) {
                if (const std::optional<Timestamp> time = parse_iso8601(texts(row).view())) {
                    accept(k, *time);
                } else {
                    reject(k, Malformed::kTimeInvalid);
                }
            };
            for_each_row(view, rows, visit, null);
        });
    } else {
        with_arrow_numbers(type.kind, view, [&](const auto& load) {
            for_each_row(
                view, rows, [&](std::size_t k, std::size_t row) { accept_count(k, load(row)); }, null);
        });
    }
}

void ArrowTimes::accept(std::size_t row, Timestamp time) noexcept {
    buffers_->times[size_] = time;
    if (any_rejected_) {
        buffers_->rows[size_] = static_cast<std::uint32_t>(row);
    }
    ++size_;
}

void ArrowTimes::accept_count(std::size_t row, std::int64_t count) noexcept {
    const std::optional<Timestamp> time = micros_of(count, unit_);
    if (!time) {
        reject(row, Malformed::kTimeInvalid);
    } else if (unit_ == TimeUnit::kUnspecified) {
        accept_unspecified(row, *time);
    } else {
        accept(row, *time);
    }
}

void ArrowTimes::accept_count(std::size_t row, double count) noexcept {
    double micros = count;
    switch (unit_) {
        case TimeUnit::kSecond: micros = count * 1e6; break;
        case TimeUnit::kMillisecond: micros = count * 1e3; break;
        case TimeUnit::kNanosecond: micros = count / 1e3; break;
        case TimeUnit::kUnspecified:
        case TimeUnit::kMicrosecond: break;
    }
    const std::optional<Timestamp> rounded = to_int64(std::nearbyint(micros));
    if (!rounded) {
        reject(row, Malformed::kTimeInvalid);
    } else if (unit_ == TimeUnit::kUnspecified) {
        accept_unspecified(row, *rounded);
    } else {
        accept(row, *rounded);
    }
}

void ArrowTimes::accept_count(std::size_t row, std::uint64_t count) noexcept {
    if (const std::optional<std::int64_t> small = to_int64(count)) {
        accept_count(row, *small);
    } else {
        accept_count(row, static_cast<double>(count));
    }
}

void ArrowTimes::accept_unspecified(std::size_t row, Timestamp micros) noexcept {
    if (micros >= kPlausibleBegin && micros < kPlausibleEnd) {
        accept(row, micros);
        return;
    }
    if (micros < kPlausibleBegin && !suspicious_time_) {
        suspicious_time_ = micros;
        records_before_suspicious_ = size_;
    }
    reject(row, Malformed::kTimeInvalid);
}

void ArrowTimes::reject(std::size_t row, Malformed why) noexcept {
    if (!any_rejected_) {
        // Until now row i was record i.
        std::iota(buffers_->rows.begin(), buffers_->rows.begin() + static_cast<std::ptrdiff_t>(row), 0U);
        any_rejected_ = true;
    }
    ++malformed_[static_cast<std::size_t>(why)];
}

}  // namespace llmopt_stream
