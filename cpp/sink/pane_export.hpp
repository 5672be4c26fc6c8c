#pragma once

#include <string>
#include <vector>

#include "sink/arrow_table.hpp"
#include "window/pane.hpp"

namespace llmopt_stream {

/// Panes as the columns that users see: window_start, window_end, each key field under its
/// name, each result under its name, pane_timing, pane_index. A key field is int64, float64,
/// bool or text as its values are; values of several types are shown as text.
[[nodiscard]] TableColumns pane_columns(const PaneTable& panes, const std::vector<std::string>& key_names);

/// "early", "on_time" or "late".
[[nodiscard]] const char* timing_name(PaneTiming timing) noexcept;

}  // namespace llmopt_stream
