#include "sink/pane_json.hpp"

#include <algorithm>
#include <type_traits>

#include "record/iso8601.hpp"
#include "record/key.hpp"
#include "sink/json_text.hpp"
#include "sink/pane_export.hpp"

namespace llmopt_stream {
namespace {

// What Python's datetime can hold.
constexpr Timestamp kEarliest = -62'135'596'800'000'000;  // 0001-01-01
constexpr Timestamp kLatest = 253'402'300'799'999'999;    // the last microsecond of 9999

void append_name(std::string& out, std::string_view name) {
    json_text::append_string(out, name);
    out += ':';
}

void append_time(std::string& out, Timestamp time) {
    std::string text = format_iso8601(std::clamp(time, kEarliest, kLatest));
    text.resize(text.size() - sizeof("+00:00") + 1);
    out += '"' + text + "Z\"";
}

template <typename Each>
void append_list(std::string& out, char open, char close, std::size_t size, Each append) {
    out += open;
    for (std::size_t at = 0; at < size; ++at) {
        if (at != 0) {
            out += ',';
        }
        append(at);
    }
    out += close;
}

template <typename Value>
void append_scalar(std::string& out, const Value& value) {
    if constexpr (std::is_same_v<Value, std::monostate>) {
        out += "null";
    } else if constexpr (std::is_same_v<Value, bool>) {
        out += value ? "true" : "false";
    } else if constexpr (std::is_same_v<Value, double>) {
        json_text::append_number(out, value);
    } else if constexpr (std::is_same_v<Value, std::string>) {
        json_text::append_string(out, value);
    } else {
        out += std::to_string(value);
    }
}

void append_nested(std::string& out, const ResultValue& result) {
    std::visit(
        [&out](const auto& value) {
            using Value = std::decay_t<decltype(value)>;
            if constexpr (std::is_same_v<Value, ResultList>) {
                append_list(out, '[', ']', value.size(),
                            [&](std::size_t at) { append_nested(out, value[at]); });
            } else if constexpr (std::is_same_v<Value, ResultFields>) {
                append_list(out, '{', '}', value.size(), [&](std::size_t at) {
                    append_name(out, value[at].name);
                    append_nested(out, value[at].value);
                });
            } else {
                append_scalar(out, value);
            }
        },
        result.value);
}

void append_result(std::string& out, const ResultColumn& column, std::size_t pane) {
    if (column.present[pane] == 0) {
        out += "null";
        return;
    }
    switch (column.type) {
        case ResultType::kInt64: out += std::to_string(column.int64[pane]); break;
        case ResultType::kFloat64: json_text::append_number(out, column.float64[pane]); break;
        case ResultType::kNested: append_nested(out, column.nested[pane]); break;
    }
}

}  // namespace

PaneJson::PaneJson(const std::vector<std::string>& key_names) {
    for (const std::string& name : key_names) {
        append_name(key_names_.emplace_back(), name);
    }
}

void PaneJson::append_interval(const Interval& window, std::string& out) {
    // Many panes are of one window.
    if (recent_text_.empty() || !(window == recent_)) {
        recent_ = window;
        recent_text_ = R"({"start":)";
        const bool unbounded = window.start == kMinTimestamp && window.end == kMaxTimestamp;
        if (unbounded) {
            recent_text_ += R"(null,"end":null})";
        } else {
            append_time(recent_text_, window.start);
            recent_text_ += R"(,"end":)";
            append_time(recent_text_, window.end);
            recent_text_ += '}';
        }
    }
    out += recent_text_;
}

void PaneJson::append_key(const PaneTable& panes, std::size_t pane, std::string& out) const {
    const std::vector<KeyValue> values = key_encoding::decode(panes.key(pane));
    append_list(out, '{', '}', values.size(), [&](std::size_t field) {
        out += key_names_[field];
        std::visit([&out](const auto& value) { append_scalar(out, value); }, values[field]);
    });
}

void PaneJson::append(const PaneTable& panes, std::size_t pane, std::string& out) {
    out += R"({"window":)";
    append_interval({panes.start[pane], panes.end[pane]}, out);
    out += R"(,"key":)";
    append_key(panes, pane, out);
    out += R"(,"results":)";
    append_list(out, '{', '}', panes.results.size(), [&](std::size_t column) {
        append_name(out, panes.results[column].name);
        append_result(out, panes.results[column], pane);
    });
    out += R"(,"pane":{"timing":")";
    out += timing_name(panes.timing[pane]);
    out += R"(","index":)" + std::to_string(panes.index[pane]);
    out += R"(,"is_last":)";
    out += panes.is_last[pane] != 0 ? "true" : "false";
    out += R"(,"replaces":)";
    const std::uint64_t first = pane == 0 ? 0 : panes.replaces_ends[pane - 1];
    append_list(out, '[', ']', panes.replaces_ends[pane] - first,
                [&](std::size_t at) { append_interval(panes.replaces[first + at], out); });
    out += "}}";
}

}  // namespace llmopt_stream
