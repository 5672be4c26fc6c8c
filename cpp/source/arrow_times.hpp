#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "record/schema.hpp"
#include "record/time.hpp"
#include "source/arrow_column.hpp"

namespace llmopt_stream {

/// Microseconds of a count of units (floor; kUnspecified counts microseconds); empty where
/// that leaves the range.
[[nodiscard]] std::optional<Timestamp> micros_of(std::int64_t count, TimeUnit unit) noexcept;
/// Likewise for a place of a date or timestamp column.
[[nodiscard]] std::optional<Timestamp> arrow_time_at(ArrowType type, const ArrowColumnView& view,
                                                     std::size_t row) noexcept;

/// The event time column: microseconds of the usable rows, and which rows these are.
class ArrowTimes {
public:
    /// Memory of the result; kept by the batch.
    struct Buffers {
        std::vector<Timestamp> times;
        std::vector<std::uint32_t> rows;
    };

    ArrowTimes(const ArrowSchema& root, const Schema& schema);

    /// Reads rows [first, first + size); the results below are about them.
    void read(const ArrowArray& top, std::size_t first, std::size_t size, Buffers& buffers);

    /// Views the array or the buffers.
    [[nodiscard]] std::span<const Timestamp> times() const noexcept { return times_; }
    /// The usable rows in order; `rows` is null where all are.
    [[nodiscard]] ArrowRows rows() const noexcept;

    [[nodiscard]] const std::array<std::uint64_t, kMalformedKinds>& malformed() const noexcept {
        return malformed_;
    }
    [[nodiscard]] const std::optional<std::int64_t>& suspicious_time() const noexcept {
        return suspicious_time_;
    }
    [[nodiscard]] std::size_t records_before_suspicious() const noexcept {
        return records_before_suspicious_;
    }

private:
    [[nodiscard]] bool read_in_place(const ArrowColumnView& view);
    void read_values(const ArrowColumnView& view, ArrowRows rows);
    void accept(std::size_t row, Timestamp time) noexcept;
    void accept_count(std::size_t row, std::int64_t count) noexcept;
    void accept_count(std::size_t row, double count) noexcept;
    void accept_count(std::size_t row, std::uint64_t count) noexcept;
    void accept_unspecified(std::size_t row, Timestamp micros) noexcept;
    void reject(std::size_t row, Malformed why) noexcept;

    ArrowColumn column_;
    TimeUnit unit_;
    std::vector<std::uint8_t> validity_;
    std::vector<std::uint32_t> dictionary_rows_;

    // The rows read last.
    Buffers* buffers_ = nullptr;
    std::size_t size_ = 0;
    bool any_rejected_ = false;
    std::span<const Timestamp> times_;
    std::array<std::uint64_t, kMalformedKinds> malformed_{};
    std::optional<std::int64_t> suspicious_time_;
    std::size_t records_before_suspicious_ = 0;
};

}  // namespace llmopt_stream
