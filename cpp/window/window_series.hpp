#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "window/pane.hpp"
#include "window/window_plan.hpp"

namespace llmopt_stream {

/// Something computed of one result across the successive windows of a key.
struct SeriesPlan {
    enum class Kind : std::uint8_t {
        kMovingAverage,  ///< exponentially weighted (Roberts 1959)
        kZScore,         ///< and whether it is an anomaly
    };
    Kind kind = Kind::kMovingAverage;
    /// Which of the metrics' results.
    std::size_t result = 0;
    /// The weight of the newest window, in (0, 1].
    double alpha = 0.3;
    /// Of z-scores: from which one on a window is an anomaly, and after how many windows they are said.
    double threshold = 3;
    std::uint64_t warm_up = 0;
    std::vector<std::string> names{};
};

/// What panes say in view of the windows before them. A key's windows are a series in the order of their
/// ends. A pane of a window that had one before, or that replaces others, takes their place, and what comes
/// after is computed anew from there; panes that are out already are not repeated. A window without a value
/// changes nothing and has no results.
///
/// Mean and variance are exponentially weighted and updated incrementally (Finch, "Incremental calculation of
/// weighted mean and variance", 2009); a window is compared with those before it.
///
/// What may still change are the windows that may fire again; before them, the series is a few numbers. A key
/// is forgotten when it has had no window for `forget_after`.
class WindowSeries {
public:
    WindowSeries(std::vector<SeriesPlan> plans, Duration forget_after, const WindowPlan& window);

    [[nodiscard]] std::vector<ResultColumn> make_result_columns() const;

    /// Appends to the last columns of the panes, which are those of make_result_columns(), what they lack.
    void complete(PaneTable& panes);
    /// Forgets what no later pane can change. Must be called when all panes fired so far are complete.
    void forget(Timestamp watermark);

    [[nodiscard]] std::size_t live_keys() const noexcept { return keys_.size(); }

    void encode(ByteWriter& out) const;
    void decode(ByteReader& in);

private:
    struct Moments {
        std::uint64_t windows = 0;
        double mean = 0;
        double variance = 0;
    };
    /// A window that may fire again; a value for each series.
    struct Entry {
        Interval window;
        std::vector<std::optional<double>> values;
    };
    struct Key {
        /// Of the windows before the entries, for each series.
        std::vector<Moments> settled;
        /// In the order of (end, start).
        std::vector<Entry> entries;
        Timestamp newest_end = kMinTimestamp;
        /// When to look at it again.
        Timestamp due = kMaxTimestamp;
    };
    using Keys = std::map<std::string, Key, std::less<>>;

    void complete(PaneTable& panes, std::size_t pane);
    /// Makes the entry of the pane's window, in place of what it replaces; returns its place.
    std::size_t place(Key& key, const PaneTable& panes, std::size_t pane);
    static void take(Moments& moments, const std::optional<double>& value, double alpha) noexcept;
    void append(const SeriesPlan& plan, const Moments& before, const std::optional<double>& value,
                std::span<ResultColumn> columns) const;
    void settle(Key& key, std::size_t entries) const;
    /// Settles what is settled at this watermark; whether the key is still needed.
    [[nodiscard]] bool tidy(Key& key, Timestamp watermark) const;
    void schedule(std::string_view encoded, Key& key);

    std::vector<SeriesPlan> plans_;
    Duration forget_after_;
    WindowKind kind_;
    Duration allowed_lateness_;
    std::size_t columns_ = 0;
    Keys keys_;
    // Derived from the keys; one that is due at another time by now is to be ignored.
    std::multimap<Timestamp, std::string> due_;
};

}  // namespace llmopt_stream
