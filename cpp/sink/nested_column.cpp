#include "sink/nested_column.hpp"

#include <algorithm>
#include <charconv>
#include <utility>

namespace llmopt_stream {
namespace {

enum class Kind { kNone, kBool, kInt64, kFloat64, kText, kList, kStruct, kUInt64 };

/// By pointer: values lie in the results, and a null pointer is null.
using Values = std::vector<const ResultValue*>;

Kind kind_of(const ResultValue& value) { return static_cast<Kind>(value.value.index()); }

Kind common(Kind a, Kind b) {
    if (a == b || b == Kind::kNone) {
        return a;
    }
    if (a == Kind::kNone) {
        return b;
    }
    const auto is_number = [](Kind kind) { return kind == Kind::kInt64 || kind == Kind::kFloat64; };
    return is_number(a) && is_number(b) ? Kind::kFloat64 : Kind::kText;
}

template <typename Number>
std::string number_text(Number number) {
    char buffer[32];
    return {buffer, std::to_chars(buffer, buffer + sizeof(buffer), number).ptr};
}

std::string text_of(const ResultValue& value) {
    switch (kind_of(value)) {
        case Kind::kNone: return "null";
        case Kind::kBool: return std::get<bool>(value.value) ? "true" : "false";
        case Kind::kInt64: return number_text(std::get<std::int64_t>(value.value));
        case Kind::kUInt64: return number_text(std::get<std::uint64_t>(value.value));
        case Kind::kFloat64: return number_text(std::get<double>(value.value));
        case Kind::kText: return std::get<std::string>(value.value);
        case Kind::kList: {
            std::string text = "[";
            for (const ResultValue& item : std::get<ResultList>(value.value)) {
                text += (text.size() == 1 ? "" : ", ") + text_of(item);
            }
            return text + "]";
        }
        default: {
            std::string text = "{";
            for (const auto& [name, field] : std::get<ResultFields>(value.value)) {
                text += (text.size() == 1 ? "" : ", ") + name + ": " + text_of(field);
            }
            return text + "}";
        }
    }
}

TableColumn column_of(std::string name, const Values& values, const Values& examples);

const ResultValue* find(const ResultValue& value, const std::string& name) {
    for (const auto& [field, held] : std::get<ResultFields>(value.value)) {
        if (field == name) {
            return &held;
        }
    }
    return nullptr;
}

/// Appends the items of a list; nothing is in what is none.
void append_items(const ResultValue* value, Values& items) {
    if (value != nullptr && kind_of(*value) == Kind::kList) {
        for (const ResultValue& item : std::get<ResultList>(value->value)) {
            items.push_back(&item);
        }
    }
}

TableColumn::Lists lists_of(const Values& values, const Values& examples) {
    TableColumn::Lists lists;
    Values items;
    for (const ResultValue* value : values) {
        append_items(value, items);
        lists.end(items.size());
    }
    Values example_items;
    for (const ResultValue* value : examples) {
        append_items(value, example_items);
    }
    lists.items.push_back(column_of("item", items, example_items));
    return lists;
}

TableColumn::Structs structs_of(const Values& values, const Values& examples) {
    TableColumn::Structs structs;
    structs.size = values.size();
    std::vector<std::string> names;
    for (const Values* all : {&examples, &values}) {
        for (const ResultValue* value : *all) {
            if (value == nullptr || kind_of(*value) != Kind::kStruct) {
                continue;
            }
            for (const auto& [name, field] : std::get<ResultFields>(value->value)) {
                if (std::find(names.begin(), names.end(), name) == names.end()) {
                    names.push_back(name);
                }
            }
        }
    }
    for (const std::string& name : names) {
        const auto fields_of = [&](const Values& all) {
            Values fields;
            for (const ResultValue* value : all) {
                const bool is_struct = value != nullptr && kind_of(*value) == Kind::kStruct;
                fields.push_back(is_struct ? find(*value, name) : nullptr);
            }
            return fields;
        };
        structs.fields.push_back(column_of(name, fields_of(values), fields_of(examples)));
    }
    return structs;
}

TableColumn column_of(std::string name, const Values& values, const Values& examples) {
    Kind kind = Kind::kNone;
    for (const Values* all : {&values, &examples}) {
        for (const ResultValue* value : *all) {
            kind = value == nullptr ? kind : common(kind, kind_of(*value));
        }
    }
    TableColumn column{std::move(name), TableColumn::Texts{}, {}, true};
    for (const ResultValue* value : values) {
        column.valid.push_back(value == nullptr || value->is_null() ? 0 : 1);
    }
    const auto fill = [&](auto data, auto append) {
        for (std::size_t at = 0; at < values.size(); ++at) {
            append(data, column.valid[at] != 0 ? values[at] : nullptr);
        }
        column.data = std::move(data);
    };
    switch (kind) {
        case Kind::kBool:
            fill(TableColumn::Bools{}, [](auto& data, const ResultValue* value) {
                data.values.push_back(value != nullptr && std::get<bool>(value->value) ? 1 : 0);
            });
            break;
        case Kind::kInt64:
            fill(TableColumn::Int64s{}, [](auto& data, const ResultValue* value) {
                data.values.push_back(value != nullptr ? std::get<std::int64_t>(value->value) : 0);
            });
            break;
        case Kind::kFloat64:
            fill(TableColumn::Float64s{}, [](auto& data, const ResultValue* value) {
                const auto* const integer =
                    value != nullptr ? std::get_if<std::int64_t>(&value->value) : nullptr;
                data.values.push_back(value == nullptr     ? 0
                                      : integer != nullptr ? static_cast<double>(*integer)
                                                           : std::get<double>(value->value));
            });
            break;
        case Kind::kList: column.data = lists_of(values, examples); break;
        case Kind::kStruct: column.data = structs_of(values, examples); break;
        default:
            fill(TableColumn::Texts{}, [](auto& data, const ResultValue* value) {
                data.append(value != nullptr ? text_of(*value) : "");
            });
    }
    return column;
}

}  // namespace

TableColumn nested_column(std::string name, const std::vector<ResultValue>& values,
                          const ResultValue& example) {
    Values pointers;
    pointers.reserve(values.size());
    for (const ResultValue& value : values) {
        pointers.push_back(&value);
    }
    return column_of(std::move(name), pointers, {&example});
}

}  // namespace llmopt_stream
