#pragma once

#include <string>
#include <vector>

#include "window/pane.hpp"

namespace llmopt_stream {

/// Panes as JSON, one object each: {"window": …, "key": …, "results": …, "pane": …}, without spaces.
class PaneJson {
public:
    /// Of tables with these key fields.
    explicit PaneJson(const std::vector<std::string>& key_names);

    /// Appends one pane.
    void append(const PaneTable& panes, std::size_t pane, std::string& out);
    /// Appends the object under "key" alone.
    void append_key(const PaneTable& panes, std::size_t pane, std::string& out) const;

private:
    void append_interval(const Interval& window, std::string& out);

    /// With quotes and colon.
    std::vector<std::string> key_names_;
    Interval recent_{0, 0};
    std::string recent_text_;
};

}  // namespace llmopt_stream
