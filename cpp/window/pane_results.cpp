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

void append_results(const MetricRow& row, const std::byte* state, const PanePlace& pane, PaneTable& panes) {
    const auto undo = [&] {
        for (ResultColumn& column : panes.results) {
            column.shrink(panes.size());
        }
    };
    try {
        row.append_pane_results(state, pane, panes.results);
    } catch (const Error& error) {
        undo();
        throw Error(error.kind(), std::string(error.what()) + "; " + place_of(pane.key, pane.window));
    } catch (...) {
        undo();
        throw;
    }
}

}  // namespace llmopt_stream
