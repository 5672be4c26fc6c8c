#include "window/window_series.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

#include "record/error.hpp"

namespace llmopt_stream {
namespace {

/// Of a user's result, if it is a number.
std::optional<double> number_of(const ResultValue& result) {
    if (const auto* const integer = std::get_if<std::int64_t>(&result.value)) {
        return static_cast<double>(*integer);
    }
    const auto* const number = std::get_if<double>(&result.value);
    return number == nullptr ? std::nullopt : std::optional(*number);
}

std::optional<double> value_at(const ResultColumn& column, std::size_t pane) {
    if (column.present[pane] == 0) {
        return std::nullopt;
    }
    std::optional<double> value;
    switch (column.type) {
        case ResultType::kFloat64: value = column.float64[pane]; break;
        case ResultType::kInt64: value = static_cast<double>(column.int64[pane]); break;
        case ResultType::kNested: value = number_of(column.nested[pane]); break;
    }
    return value && std::isfinite(*value) ? value : std::nullopt;
}

bool is_before(const Interval& a, const Interval& b) noexcept {
    return std::pair(a.end, a.start) < std::pair(b.end, b.start);
}

}  // namespace

WindowSeries::WindowSeries(std::vector<SeriesPlan> plans, Duration forget_after, const WindowPlan& window)
    : plans_(std::move(plans)),
      forget_after_(forget_after),
      kind_(window.kind),
      allowed_lateness_(std::max(window.allowed_lateness, window.kept_after_end)) {
    columns_ = make_result_columns().size();
}

std::vector<ResultColumn> WindowSeries::make_result_columns() const {
    std::vector<ResultColumn> columns;
    for (const SeriesPlan& plan : plans_) {
        columns.push_back({plan.names.at(0), ResultType::kFloat64});
        if (plan.kind == SeriesPlan::Kind::kZScore) {
            columns.push_back({plan.names.at(1), ResultType::kNested, ResultValue{false}});
        }
    }
    return columns;
}

void WindowSeries::complete(PaneTable& panes) {
    if (plans_.empty() || panes.size() == 0) {
        return;
    }
    for (std::size_t pane = panes.results.back().size(); pane < panes.size(); ++pane) {
        complete(panes, pane);
    }
}

std::size_t WindowSeries::place(Key& key, const PaneTable& panes, std::size_t pane) {
    Entry entry{{panes.start[pane], panes.end[pane]}, {}};
    for (const SeriesPlan& plan : plans_) {
        entry.values.push_back(value_at(panes.results[plan.result], pane));
    }
    if (kind_ == WindowKind::kCount) {
        key.entries.push_back(std::move(entry));
        return key.entries.size() - 1;
    }
    const std::uint64_t first = pane == 0 ? 0 : panes.replaces_ends[pane - 1];
    std::erase_if(key.entries, [&](const Entry& other) {
        const auto replaced = panes.replaces.begin();
        return other.window == entry.window ||
               std::find(replaced + static_cast<std::ptrdiff_t>(first),
                         replaced + static_cast<std::ptrdiff_t>(panes.replaces_ends[pane]),
                         other.window) != replaced + static_cast<std::ptrdiff_t>(panes.replaces_ends[pane]);
    });
    const auto behind =
        std::upper_bound(key.entries.begin(), key.entries.end(), entry,
                         [](const Entry& a, const Entry& b) { return is_before(a.window, b.window); });
    const auto at = static_cast<std::size_t>(behind - key.entries.begin());
    key.entries.insert(behind, std::move(entry));
    return at;
}

void WindowSeries::complete(PaneTable& panes, std::size_t pane) {
    const std::string_view encoded = panes.key(pane);
    auto found = keys_.find(encoded);
    if (found == keys_.end()) {
        found = keys_.emplace(std::string(encoded), Key{}).first;
        found->second.settled.resize(plans_.size());
    }
    Key& key = found->second;
    if (kind_ != WindowKind::kCount && key.newest_end != kMinTimestamp &&
        panes.end[pane] > add_saturating(key.newest_end, forget_after_)) {
        key.entries.clear();
        key.settled.assign(plans_.size(), Moments{});
    }
    key.newest_end = std::max(key.newest_end, panes.end[pane]);
    const std::size_t at = place(key, panes, pane);
    std::size_t column = panes.results.size() - columns_;
    for (std::size_t series = 0; series < plans_.size(); ++series) {
        Moments moments = key.settled[series];
        for (std::size_t entry = 0; entry < at; ++entry) {
            take(moments, key.entries[entry].values[series], plans_[series].alpha);
        }
        append(plans_[series], moments, key.entries[at].values[series],
               std::span(panes.results).subspan(column));
        column += plans_[series].kind == SeriesPlan::Kind::kZScore ? 2 : 1;
    }
    if (kind_ == WindowKind::kCount) {
        settle(key, key.entries.size());
    }
    schedule(encoded, key);
}

void WindowSeries::take(Moments& moments, const std::optional<double>& value, double alpha) noexcept {
    if (!value) {
        return;
    }
    if (++moments.windows == 1) {
        moments.mean = *value;
        return;
    }
    const double deviation = *value - moments.mean;
    const double low = std::min(*value, moments.mean);
    const double high = std::max(*value, moments.mean);
    // Between the two whatever is rounded, so that equal values keep it exactly.
    moments.mean = std::clamp(alpha * *value + (1 - alpha) * moments.mean, low, high);
    moments.variance = (1 - alpha) * (moments.variance + alpha * deviation * deviation);
}

void WindowSeries::append(const SeriesPlan& plan, const Moments& before, const std::optional<double>& value,
                          std::span<ResultColumn> columns) const {
    const auto append_number = [&](double number) {
        if (std::isfinite(number)) {
            columns[0].append(number);
        } else {
            columns[0].append_null();
        }
    };
    if (plan.kind == SeriesPlan::Kind::kMovingAverage) {
        Moments with = before;
        take(with, value, plan.alpha);
        if (value) {
            append_number(with.mean);
        } else {
            columns[0].append_null();
        }
        return;
    }
    if (!value || before.windows < std::max<std::uint64_t>(plan.warm_up, 1)) {
        columns[0].append_null();
        columns[1].append_null();
        return;
    }
    const double deviation = *value - before.mean;
    const double score = deviation == 0 ? 0 : deviation / std::sqrt(before.variance);
    append_number(score);
    columns[1].append(ResultValue{!(std::fabs(score) < plan.threshold)});
}

void WindowSeries::settle(Key& key, std::size_t entries) const {
    for (std::size_t entry = 0; entry < entries; ++entry) {
        for (std::size_t series = 0; series < plans_.size(); ++series) {
            take(key.settled[series], key.entries[entry].values[series], plans_[series].alpha);
        }
    }
    key.entries.erase(key.entries.begin(), key.entries.begin() + static_cast<std::ptrdiff_t>(entries));
}

bool WindowSeries::tidy(Key& key, Timestamp watermark) const {
    const auto open = std::find_if(key.entries.begin(), key.entries.end(), [&](const Entry& entry) {
        return add_saturating(entry.window.end, allowed_lateness_) > watermark;
    });
    settle(key, static_cast<std::size_t>(open - key.entries.begin()));
    return watermark < add_saturating(add_saturating(key.newest_end, forget_after_), allowed_lateness_);
}

void WindowSeries::schedule(std::string_view encoded, Key& key) {
    if (kind_ == WindowKind::kCount) {
        return;
    }
    const Timestamp last =
        key.entries.empty() ? add_saturating(key.newest_end, forget_after_) : key.entries.front().window.end;
    if (const Timestamp due = add_saturating(last, allowed_lateness_); due != key.due) {
        key.due = due;
        due_.emplace(due, encoded);
    }
}

void WindowSeries::forget(Timestamp watermark) {
    if (watermark == kMaxTimestamp) {
        keys_.clear();
        due_.clear();
        return;
    }
    while (!due_.empty() && due_.begin()->first <= watermark) {
        const auto [time, encoded] = std::move(*due_.begin());
        due_.erase(due_.begin());
        const auto found = keys_.find(encoded);
        if (found == keys_.end() || found->second.due != time) {
            continue;
        }
        found->second.due = kMaxTimestamp;
        if (tidy(found->second, watermark)) {
            schedule(encoded, found->second);
        } else {
            keys_.erase(found);
        }
    }
}

void WindowSeries::encode(ByteWriter& out) const {
    out.write<std::uint64_t>(keys_.size());
    for (const auto& [encoded, key] : keys_) {
        out.write_bytes(encoded);
        out.write(key.newest_end);
        for (const Moments& moments : key.settled) {
            out.write(moments.windows);
            out.write(moments.mean);
            out.write(moments.variance);
        }
        out.write<std::uint64_t>(key.entries.size());
        for (const Entry& entry : key.entries) {
            out.write(entry.window.start);
            out.write(entry.window.end);
            for (const std::optional<double>& value : entry.values) {
                out.write<std::uint8_t>(value ? 1 : 0);
                out.write(value.value_or(0));
            }
        }
    }
}

void WindowSeries::decode(ByteReader& in) {
    const std::uint64_t keys = in.read_count(2 * sizeof(std::uint64_t));
    for (std::uint64_t at = 0; at < keys; ++at) {
        const std::string encoded(in.read_bytes());
        Key& key = keys_[encoded];
        if (!key.settled.empty()) {
            ByteReader::corrupt("a key that has two series");
        }
        key.newest_end = in.read<Timestamp>();
        for (std::size_t series = 0; series < plans_.size(); ++series) {
            Moments& moments = key.settled.emplace_back();
            moments.windows = in.read<std::uint64_t>();
            moments.mean = in.read<double>();
            moments.variance = in.read<double>();
        }
        const std::uint64_t entries = in.read_count(2 * sizeof(Timestamp));
        for (std::uint64_t entry = 0; entry < entries; ++entry) {
            Entry& added = key.entries.emplace_back();
            added.window.start = in.read<Timestamp>();
            added.window.end = in.read<Timestamp>();
            if (entry > 0 && !is_before(key.entries[entry - 1].window, added.window)) {
                ByteReader::corrupt("the windows of a series out of order");
            }
            for (std::size_t series = 0; series < plans_.size(); ++series) {
                const bool present = in.read<std::uint8_t>() != 0;
                const auto value = in.read<double>();
                added.values.push_back(present ? std::optional(value) : std::nullopt);
            }
        }
        schedule(encoded, key);
    }
}

}  // namespace llmopt_stream
