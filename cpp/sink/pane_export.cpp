#include "sink/pane_export.hpp"

#include <charconv>
#include <utility>

#include "record/key.hpp"
#include "sink/nested_column.hpp"

namespace llmopt_stream {
namespace {

enum class KeyType { kNone, kBool, kInt64, kFloat64, kText };

KeyType type_of(const KeyValue& value) {
    switch (value.index()) {
        case 0: return KeyType::kNone;
        case 1: return KeyType::kBool;
        case 2: return KeyType::kInt64;
        case 3: return KeyType::kText;  // beyond int64
        case 4: return KeyType::kFloat64;
        default: return KeyType::kText;
    }
}

/// The type that holds values of both.
KeyType common(KeyType a, KeyType b) {
    if (a == b || b == KeyType::kNone) {
        return a;
    }
    if (a == KeyType::kNone) {
        return b;
    }
    const bool numbers =
        (a == KeyType::kInt64 || a == KeyType::kFloat64) && (b == KeyType::kInt64 || b == KeyType::kFloat64);
    return numbers ? KeyType::kFloat64 : KeyType::kText;
}

template <typename Number>
std::string text_of(Number number) {
    char buffer[32];
    return {buffer, std::to_chars(buffer, buffer + sizeof(buffer), number).ptr};
}

std::string as_text(const KeyValue& value) {
    switch (value.index()) {
        case 0: return "";
        case 1: return std::get<bool>(value) ? "true" : "false";
        case 2: return text_of(std::get<std::int64_t>(value));
        case 3: return text_of(std::get<std::uint64_t>(value));
        case 4: return text_of(std::get<double>(value));
        default: return std::get<std::string>(value);
    }
}

TableColumn key_column(const std::string& name, const std::vector<std::vector<KeyValue>>& keys,
                       std::size_t field) {
    KeyType type = KeyType::kNone;
    for (const auto& key : keys) {
        type = common(type, type_of(key[field]));
    }
    TableColumn column{name, TableColumn::Texts{}, {}, true};
    column.valid.reserve(keys.size());
    const auto fill = [&](auto data, auto append) {
        for (const auto& key : keys) {
            column.valid.push_back(key[field].index() == 0 ? 0 : 1);
            append(data, key[field]);
        }
        column.data = std::move(data);
    };
    switch (type) {
        case KeyType::kBool:
            fill(TableColumn::Bools{}, [](auto& data, const KeyValue& value) {
                const bool* const truth = std::get_if<bool>(&value);
                data.values.push_back(truth != nullptr && *truth ? 1 : 0);
            });
            break;
        case KeyType::kInt64:
            fill(TableColumn::Int64s{}, [](auto& data, const KeyValue& value) {
                const auto* const integer = std::get_if<std::int64_t>(&value);
                data.values.push_back(integer != nullptr ? *integer : 0);
            });
            break;
        case KeyType::kFloat64:
            fill(TableColumn::Float64s{}, [](auto& data, const KeyValue& value) {
                const auto* const integer = std::get_if<std::int64_t>(&value);
                const auto* const number = std::get_if<double>(&value);
                data.values.push_back(integer != nullptr  ? static_cast<double>(*integer)
                                      : number != nullptr ? *number
                                                          : 0);
            });
            break;
        default:
            fill(TableColumn::Texts{},
                 [](auto& data, const KeyValue& value) { data.append(as_text(value)); });
    }
    return column;
}

TableColumn result_column(const ResultColumn& result) {
    switch (result.type) {
        case ResultType::kInt64:
            return {result.name, TableColumn::Int64s{result.int64}, result.present, true};
        case ResultType::kNested: return nested_column(result.name, result.nested, result.example);
        default: return {result.name, TableColumn::Float64s{result.float64}, result.present, true};
    }
}

}  // namespace

const char* timing_name(PaneTiming timing) noexcept {
    switch (timing) {
        case PaneTiming::kEarly: return "early";
        case PaneTiming::kOnTime: return "on_time";
        default: return "late";
    }
}

TableColumns pane_columns(const PaneTable& panes, const std::vector<std::string>& key_names) {
    TableColumns columns;
    // Windows without start and end, those by count and the global one.
    std::vector<std::uint8_t> bounded;
    for (std::size_t pane = 0; pane < panes.size(); ++pane) {
        const bool is_bounded = panes.start[pane] != kMinTimestamp || panes.end[pane] != kMaxTimestamp;
        if (!is_bounded && bounded.empty()) {
            bounded.assign(panes.size(), 1);
        }
        if (!is_bounded) {
            bounded[pane] = 0;
        }
    }
    columns.push_back({"window_start", TableColumn::Timestamps{panes.start}, bounded, true});
    columns.push_back({"window_end", TableColumn::Timestamps{panes.end}, bounded, true});

    std::vector<std::vector<KeyValue>> keys;
    if (!key_names.empty()) {
        keys.reserve(panes.size());
        for (std::size_t pane = 0; pane < panes.size(); ++pane) {
            keys.push_back(key_encoding::decode(panes.key(pane)));
        }
    }
    for (std::size_t field = 0; field < key_names.size(); ++field) {
        columns.push_back(key_column(key_names[field], keys, field));
    }
    for (const ResultColumn& result : panes.results) {
        columns.push_back(result_column(result));
    }

    TableColumn::Texts timing;
    TableColumn::Int64s index;
    for (std::size_t pane = 0; pane < panes.size(); ++pane) {
        timing.append(timing_name(panes.timing[pane]));
        index.values.push_back(panes.index[pane]);
    }
    columns.push_back({"pane_timing", std::move(timing), {}, false});
    columns.push_back({"pane_index", std::move(index), {}, false});
    return columns;
}

}  // namespace llmopt_stream
