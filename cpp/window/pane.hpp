#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "aggregate/result_column.hpp"
#include "record/time.hpp"
#include "state/byte_codec.hpp"

namespace llmopt_stream {

/// When a pane fired relative to the watermark (Beam's names).
enum class PaneTiming : std::uint8_t { kEarly, kOnTime, kLate };

/// Panes in the order in which they fired, as columns. A pane is the result of one key
/// in one window at one firing.
struct PaneTable {
    /// How many input records had been taken when it fired.
    std::vector<std::uint64_t> fired_at;
    std::vector<Timestamp> start;
    std::vector<Timestamp> end;
    std::vector<PaneTiming> timing;
    /// 0 for the first pane of a key in a window, then 1, 2, …
    std::vector<std::uint32_t> index;
    /// 1 where no later pane of that key and window can follow.
    std::vector<std::uint8_t> is_last;
    /// Encoded keys, one behind the other; key i ends at key_ends[i].
    std::string key_bytes;
    std::vector<std::uint64_t> key_ends;
    /// The intervals that pane i supersedes end at replaces_ends[i] (sessions that merged).
    std::vector<Interval> replaces;
    std::vector<std::uint64_t> replaces_ends;
    std::vector<ResultColumn> results;

    [[nodiscard]] std::size_t size() const noexcept { return start.size(); }
    [[nodiscard]] std::string_view key(std::size_t pane) const noexcept {
        const std::uint64_t begin = pane == 0 ? 0 : key_ends[pane - 1];
        return std::string_view(key_bytes).substr(begin, key_ends[pane] - begin);
    }
    /// One pane; its results are appended to `results` by the caller.
    void append(std::string_view encoded_key, const Interval& window, std::uint64_t position,
                PaneTiming pane_timing, std::uint32_t pane_index, bool last,
                std::span<const Interval> superseded = {}) {
        fired_at.push_back(position);
        start.push_back(window.start);
        end.push_back(window.end);
        timing.push_back(pane_timing);
        index.push_back(pane_index);
        is_last.push_back(last ? 1 : 0);
        key_bytes.append(encoded_key);
        key_ends.push_back(key_bytes.size());
        replaces.insert(replaces.end(), superseded.begin(), superseded.end());
        replaces_ends.push_back(replaces.size());
    }
    /// Panes of one firing of one window; pane i is of the key key_of(i) and its index is index_of(i).
    template <typename KeyOf, typename IndexOf>
    void append_window(std::size_t panes, const Interval& window, std::uint64_t position,
                       PaneTiming pane_timing, bool last, KeyOf key_of, IndexOf index_of) {
        fired_at.resize(size() + panes, position);
        timing.resize(size() + panes, pane_timing);
        is_last.resize(size() + panes, last ? 1 : 0);
        replaces_ends.resize(size() + panes, replaces.size());
        for (std::size_t pane = 0; pane < panes; ++pane) {
            index.push_back(index_of(pane));
            key_bytes.append(key_of(pane));
            key_ends.push_back(key_bytes.size());
        }
        end.resize(size() + panes, window.end);
        start.resize(size() + panes, window.start);
    }
    /// Behind the panes that are there; of the same result columns.
    void append(PaneTable&& later);

    void encode(ByteWriter& out) const;
    /// Into an empty table that has its result columns.
    void decode(ByteReader& in);
};

/// A record that no window took, and why.
struct LateRecord {
    /// Its place in the whole input.
    std::uint64_t position;
    /// Its place among the input records of its batch: where the caller finds its content.
    std::uint32_t input_index;
    Timestamp event_time;
    /// The watermark that it was judged under.
    Timestamp watermark;
    std::string key;
    /// The windows that it came too late for; none if it lies in a gap between windows.
    std::vector<Interval> windows;
};

/// What would become of a record in one window.
enum class WindowFate : std::uint8_t {
    kTaken,        ///< and shown when the window fires next
    kFiresAtOnce,  ///< the window is complete already
    kExpired,      ///< too late
};
struct WindowVerdict {
    Interval window;
    WindowFate fate;
};

/// What an operator hands out. Records are counted where they end up.
struct WindowOutput {
    PaneTable panes;
    /// Filled only where the plan asks for late records.
    std::vector<LateRecord> late;
    std::uint64_t aggregated = 0;
    std::uint64_t late_records = 0;
    std::uint64_t outside_windows = 0;
    /// Records, once per window, that no pane had shown when their window expired.
    std::uint64_t unfired = 0;
    /// By metric, values of aggregated records that could not be taken.
    std::vector<std::uint64_t> skipped_values;
};

}  // namespace llmopt_stream
