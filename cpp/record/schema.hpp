#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace llmopt_stream {

/// The type a value column has after decoding.
enum class FieldType : std::uint8_t { kFloat64, kInt64 };

/// What an integer timestamp counts. kUnspecified reads microseconds and refuses
/// times outside [1990, 10000), which are nearly always another unit.
enum class TimeUnit : std::uint8_t { kUnspecified, kSecond, kMillisecond, kMicrosecond, kNanosecond };

struct ValueField {
    std::string path;
    FieldType type = FieldType::kFloat64;
    /// Arrow integer columns keep their type even where `type` is kFloat64 by default.
    bool type_is_declared = false;
};

/// The fields that a plan reads from each record; nothing else is decoded.
/// Paths are dotted: `a.b.c` addresses {"a": {"b": {"c": …}}}, and so does any spelling in which some
/// of the dots are part of names: {"a": {"b.c": …}}, {"a.b": {"c": …}}, {"a.b.c": …}. A record that has
/// several of them is malformed. One path may be read for several purposes.
struct Schema {
    std::string time_path = "timestamp";
    TimeUnit time_unit = TimeUnit::kUnspecified;
    std::vector<std::string> key_paths;
    std::vector<ValueField> values;
    /// Fields that are read as they are, whatever their type.
    std::vector<std::string> labels;
};

/// Why a record could not be used. Each such record is counted under one of these.
enum class Malformed : std::uint8_t {
    kNone,
    kSyntax,          ///< not JSON: truncated, bad literal, bad escape, trailing bytes
    kNotAnObject,     ///< a JSON scalar or array, or a Python value without fields
    kTooDeep,         ///< nested deeper than 32
    kBadUtf8,         ///< invalid UTF-8
    kTooLarge,        ///< longer than the record limit (1 MiB)
    kDuplicateField,  ///< a field that the plan reads occurs twice
    kTimeMissing,     ///< no event time, or null
    kTimeInvalid,     ///< event time of a wrong type, not parseable or out of range
    kKeyNotScalar,  ///< a key field is an object, an array, an unhashable value or a number without a 64-bit
                    ///< form
    kTimeAhead,     ///< too far ahead of the clock
    kTimeBehind,    ///< too far behind the clock
    kGapInvalid,    ///< the field that has the session gap is no positive number of seconds
    kTombstone,     ///< a Kafka record without a value
    kUndecodable,   ///< a payload that is not of the schema it names, or whose schema nobody knows
};
inline constexpr std::size_t kMalformedKinds = static_cast<std::size_t>(Malformed::kUndecodable) + 1;

}  // namespace llmopt_stream
