#pragma once

#include <cstddef>
#include <string_view>

#include "aggregate/metric_row.hpp"
#include "window/pane.hpp"

namespace llmopt_stream {

/// Computes the results of a pane that is then appended to the table. An Error of a result says
/// for which key and window, and leaves the table as it was.
void append_results(const MetricRow& row, const std::byte* state, std::string_view key,
                    const Interval& window, PaneTable& panes);

}  // namespace llmopt_stream
