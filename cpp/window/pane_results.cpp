#include "window/pane_results.hpp"

#include <string>

#include "record/error.hpp"
#include "record/iso8601.hpp"
#include "record/key.hpp"

namespace llmopt_stream {
namespace {

std::string place_of(std::string_view key, const Interval& window) {
    std::string text = "key " + key_encoding::text_of(key);
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
