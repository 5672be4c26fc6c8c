#pragma once

#include <cstddef>

#include "aggregate/metric_row.hpp"
#include "window/pane.hpp"

namespace llmopt_stream {

/// Computes the results of a pane that is then appended to the table. An Error of a result says
/// for which key and window; like any exception it leaves the table as it was.
void append_results(const MetricRow& row, const std::byte* state, const PanePlace& pane, PaneTable& panes);

}  // namespace llmopt_stream
