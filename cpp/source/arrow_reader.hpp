#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "record/arrow_c_data.hpp"
#include "record/record_batch.hpp"
#include "record/schema.hpp"

namespace llmopt_stream {

/// Reads the columns that a plan needs from an Arrow stream (a DataFrame, a table, a query
/// result) in place where the types allow it: timestamps in µs, float64 and int64 without
/// nulls are viewed, everything else is converted.
///
/// - Time: timestamps and dates of any unit; integers and floats counting `time_unit`;
///   ISO-8601 text.
/// - Values: integers, floats, decimals (as float64), the null type; integers keep their
///   type unless the schema declares another. uint64 is read as float64.
/// - Keys: text, integers, floats, booleans, dates and timestamps (as microseconds), the
///   null type.
/// - Labels: what keys can be, and decimals (as float64); columns of any other type are null.
/// - Each may be dictionary-encoded.
///
/// A record whose time is null or unusable is dropped and counted. Large arrays are cut
/// into batches of at most kMaxRows records. One thread at a time.
class ArrowReader {
public:
    static constexpr std::size_t kMaxRows = std::size_t{1} << 16;

    /// Takes the stream over, also when it throws. Throws Error(kConfiguration) where the
    /// stream lacks a field of the schema or has it with a type that cannot serve, and
    /// Error(kPipeline) where the stream cannot tell its schema.
    ArrowReader(ArrowArrayStream* stream, const Schema& schema);
    ~ArrowReader();
    ArrowReader(ArrowReader&&) noexcept;
    ArrowReader& operator=(ArrowReader&&) noexcept;

    /// The type of each value column, in the order of the schema. A column that is all nulls by its type has
    /// none, and is read as float64.
    [[nodiscard]] const std::vector<std::optional<FieldType>>& value_types() const noexcept;

    /// Fills `out` with the next batch that has input records, at most `max_rows` and never
    /// more than kMaxRows of them (max_rows > 0 is required); false at the end of the stream. The batch is
    /// valid until the next call, and beyond it as long as `out.owner` is kept. Throws Error(kPipeline) with
    /// the stream's own text when it fails, and where an array does not fit the stream's schema.
    [[nodiscard]] bool next(RecordBatch& out, std::size_t max_rows = kMaxRows);

    /// How many records of the last batch were dropped, by reason.
    [[nodiscard]] const std::array<std::uint64_t, kMalformedKinds>& malformed() const noexcept;
    /// The first time of the last batch refused as kTimeInvalid because, without a unit
    /// given, it lies before 1990: the number (floats rounded); null if there was none.
    [[nodiscard]] const std::int64_t* suspicious_time() const noexcept;
    /// The number of accepted records of the last batch before the suspicious one.
    [[nodiscard]] std::size_t records_before_suspicious() const noexcept;

private:
    class Implementation;
    std::unique_ptr<Implementation> implementation_;
};

}  // namespace llmopt_stream
