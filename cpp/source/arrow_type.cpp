#include "source/arrow_type.hpp"

#include <charconv>
#include <string_view>

namespace llmopt_stream {
namespace {

struct NamedFormat {
    std::string_view format;
    ArrowKind kind;
    const char* name;
};

constexpr NamedFormat kFormats[] = {
    {"n", ArrowKind::kNull, "null"},
    {"b", ArrowKind::kBool, "bool"},
    {"c", ArrowKind::kInt8, "int8"},
    {"C", ArrowKind::kUint8, "uint8"},
    {"s", ArrowKind::kInt16, "int16"},
    {"S", ArrowKind::kUint16, "uint16"},
    {"i", ArrowKind::kInt32, "int32"},
    {"I", ArrowKind::kUint32, "uint32"},
    {"l", ArrowKind::kInt64, "int64"},
    {"L", ArrowKind::kUint64, "uint64"},
    {"e", ArrowKind::kFloat16, "float16"},
    {"f", ArrowKind::kFloat32, "float32"},
    {"g", ArrowKind::kFloat64, "float64"},
    {"u", ArrowKind::kText, "utf8"},
    {"U", ArrowKind::kLargeText, "large_utf8"},
    {"vu", ArrowKind::kTextView, "utf8_view"},
    {"tdD", ArrowKind::kDate32, "date32"},
    {"tdm", ArrowKind::kDate64, "date64"},
    {"+s", ArrowKind::kStruct, "struct"},
    {"z", ArrowKind::kOther, "binary"},
    {"Z", ArrowKind::kOther, "large_binary"},
    {"vz", ArrowKind::kOther, "binary_view"},
    {"+l", ArrowKind::kOther, "list"},
    {"+L", ArrowKind::kOther, "large_list"},
    {"+vl", ArrowKind::kOther, "list_view"},
    {"+vL", ArrowKind::kOther, "large_list_view"},
    {"+m", ArrowKind::kOther, "map"},
    {"+r", ArrowKind::kOther, "run_end_encoded"},
};

constexpr NamedFormat kPrefixes[] = {
    {"tt", ArrowKind::kOther, "time"},
    {"tD", ArrowKind::kOther, "duration"},
    {"ti", ArrowKind::kOther, "interval"},
    {"w:", ArrowKind::kOther, "fixed_size_binary"},
    {"+w:", ArrowKind::kOther, "fixed_size_list"},
    {"+u", ArrowKind::kOther, "union"},
};

bool parse_number(std::string_view& text, int& value) {
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc{}) {
        return false;
    }
    text.remove_prefix(static_cast<std::size_t>(end - text.data()));
    if (text.starts_with(',')) {
        text.remove_prefix(1);
    }
    return true;
}

/// "d:precision,scale[,bits]"
ArrowType parse_decimal(std::string_view format) {
    int precision = 0;
    int scale = 0;
    int bits = 128;
    format.remove_prefix(2);
    if (!parse_number(format, precision) || !parse_number(format, scale) ||
        (!format.empty() && !parse_number(format, bits)) || scale < -76 || scale > 76) {
        return {};
    }
    switch (bits) {
        case 32: return {.kind = ArrowKind::kDecimal32, .scale = scale};
        case 64: return {.kind = ArrowKind::kDecimal64, .scale = scale};
        case 128: return {.kind = ArrowKind::kDecimal128, .scale = scale};
        default: return {};
    }
}

/// "ts" + unit + ":" + zone; the zone only says how to show the time.
ArrowType parse_timestamp(std::string_view format) {
    if (format.size() < 4 || format[3] != ':') {
        return {};
    }
    switch (format[2]) {
        case 's': return {.kind = ArrowKind::kTimestamp, .unit = TimeUnit::kSecond};
        case 'm': return {.kind = ArrowKind::kTimestamp, .unit = TimeUnit::kMillisecond};
        case 'u': return {.kind = ArrowKind::kTimestamp, .unit = TimeUnit::kMicrosecond};
        case 'n': return {.kind = ArrowKind::kTimestamp, .unit = TimeUnit::kNanosecond};
        default: return {};
    }
}

std::string format_name(std::string_view format) {
    for (const NamedFormat& known : kFormats) {
        if (known.format == format) {
            return known.name;
        }
    }
    if (format.starts_with("ts") && format.size() >= 4) {
        const char unit = format[2];
        std::string name = "timestamp[";
        name += unit;
        if (unit != 's') {
            name += 's';
        }
        return name + "]";
    }
    if (format.starts_with("d:")) {
        return "decimal(" + std::string(format.substr(2)) + ")";
    }
    for (const NamedFormat& known : kPrefixes) {
        if (format.starts_with(known.format)) {
            return known.name;
        }
    }
    return "the unknown type '" + std::string(format) + "'";
}

}  // namespace

ArrowType parse_arrow_format(const char* format) noexcept {
    const std::string_view text = format == nullptr ? "" : format;
    for (const NamedFormat& known : kFormats) {
        if (known.format == text) {
            return {.kind = known.kind};
        }
    }
    if (text.starts_with("ts")) {
        return parse_timestamp(text);
    }
    return text.starts_with("d:") ? parse_decimal(text) : ArrowType{};
}

std::string arrow_type_name(const ArrowSchema& field) {
    if (field.dictionary != nullptr) {
        return "dictionary<" + arrow_type_name(*field.dictionary) + ">";
    }
    return format_name(field.format == nullptr ? "" : field.format);
}

bool is_integer(ArrowKind kind) noexcept { return kind >= ArrowKind::kInt8 && kind <= ArrowKind::kUint64; }

bool is_float(ArrowKind kind) noexcept { return kind >= ArrowKind::kFloat16 && kind <= ArrowKind::kFloat64; }

bool is_decimal(ArrowKind kind) noexcept {
    return kind >= ArrowKind::kDecimal32 && kind <= ArrowKind::kDecimal128;
}

bool is_text(ArrowKind kind) noexcept { return kind >= ArrowKind::kText && kind <= ArrowKind::kTextView; }

bool is_time(ArrowKind kind) noexcept { return kind >= ArrowKind::kDate32 && kind <= ArrowKind::kTimestamp; }

}  // namespace llmopt_stream
