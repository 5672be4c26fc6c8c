#include "window/pane_results.hpp"

#include <string>
#include <type_traits>
#include <variant>

#include "record/error.hpp"
#include "record/iso8601.hpp"
#include "record/key.hpp"

namespace llmopt_stream {
namespace {

std::string text_of(const KeyValue& field) {
    return std::visit(
        [](const auto& value) -> std::string {
            using Value = std::decay_t<decltype(value)>;
            if constexpr (std::is_same_v<Value, std::monostate>) {
                return "null";
            } else if constexpr (std::is_same_v<Value, bool>) {
                return value ? "true" : "false";
            } else if constexpr (std::is_same_v<Value, std::string>) {
                return "'" + value + "'";
            } else {
                return std::to_string(value);
            }
        },
        field);
}

std::string place_of(std::string_view key, const Interval& window) {
    std::string text = "key (";
    for (const KeyValue& field : key_encoding::decode(key)) {
        text += (text.back() == '(' ? "" : ", ") + text_of(field);
    }
    text += ")";
    if (window.start != kMinTimestamp || window.end != kMaxTimestamp) {
        text += ", window [" + format_iso8601(window.start) + ", " + format_iso8601(window.end) + ")";
    }
    return text;
}

}  // namespace

void append_results(const MetricRow& row, const std::byte* state, std::string_view key,
                    const Interval& window, PaneTable& panes) {
    try {
        row.append_results(state, window, panes.results);
    } catch (const Error& error) {
        for (ResultColumn& column : panes.results) {
            column.shrink(panes.size());
        }
        throw Error(error.kind(), std::string(error.what()) + "; " + place_of(key, window));
    }
}

}  // namespace llmopt_stream
