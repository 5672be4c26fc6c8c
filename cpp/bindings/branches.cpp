#include "bindings/branches.hpp"

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "bindings/expressions.hpp"
#include "bindings/metrics.hpp"
#include "bindings/plan.hpp"
#include "bindings/settings.hpp"
#include "bindings/triggers.hpp"

namespace llmopt_stream::bindings {
namespace {

/// `assign([time, …])` gives for each time its windows as (start, end).
class PythonAssigner final : public UserAssigner {
public:
    explicit PythonAssigner(py::object assign) : assign_(std::move(assign)) {}

    void assign(std::span<const Timestamp> event_time, std::vector<Interval>& windows,
                std::vector<std::uint32_t>& ends) override {
        const py::gil_scoped_acquire gil;
        const std::vector<Timestamp> times(event_time.begin(), event_time.end());
        const auto assigned =
            assign_(times).cast<std::vector<std::vector<std::pair<Timestamp, Timestamp>>>>();
        for (const auto& of_record : assigned) {
            for (const auto& [start, end] : of_record) {
                windows.push_back({start, end});
            }
            ends.push_back(static_cast<std::uint32_t>(windows.size()));
        }
    }

private:
    py::object assign_;
};

SeriesPlan series_of(const py::dict& settings) {
    SeriesPlan series;
    series.kind = setting<std::string>(settings, "kind") == "zscore" ? SeriesPlan::Kind::kZScore
                                                                     : SeriesPlan::Kind::kMovingAverage;
    series.result = setting<std::size_t>(settings, "result");
    series.alpha = setting<double>(settings, "alpha");
    series.threshold = setting<double>(settings, "threshold");
    series.warm_up = setting<std::uint64_t>(settings, "warm_up");
    series.names = setting<std::vector<std::string>>(settings, "names");
    return series;
}

}  // namespace

RecordStep record_step_of(const py::tuple& settings) {
    if (settings[0].cast<std::string>() == "filter") {
        py::list programs;
        programs.append(settings[1]);
        return FilterStep{expressions_of(programs).front()};
    }
    if (settings[0].cast<std::string>() == "key_limit") {
        return KeyLimitStep{
            {settings[1].cast<std::uint64_t>(), settings[2].cast<Duration>(), settings[3].cast<bool>()}};
    }
    return DeduplicationStep{settings[1].cast<std::size_t>(),
                             {settings[2].cast<Duration>(), settings[3].cast<std::optional<double>>()}};
}

BranchPlan branch_of(const py::dict& settings) {
    BranchPlan branch;
    WindowPlan& window = branch.window;
    window.kind = window_kind_of(setting<std::string>(settings, "kind"));
    window.size = setting<Duration>(settings, "size");
    window.slide = setting<Duration>(settings, "slide");
    window.offset = setting<Duration>(settings, "offset");
    window.gap = setting<Duration>(settings, "gap");
    window.flush = setting<bool>(settings, "flush");
    window.by_clock = setting<bool>(settings, "by_clock");
    window.allowed_lateness = setting<Duration>(settings, "allowed_lateness");
    window.trigger = trigger_of(setting<py::tuple>(settings, "trigger"));
    window.kept_after_end = setting<Duration>(settings, "kept_after_end");
    window.accumulation =
        setting<bool>(settings, "discarding") ? Accumulation::kDiscarding : Accumulation::kAccumulating;
    window.collect_late = setting<bool>(settings, "collect_late");
    branch.gap_column = setting<std::optional<std::size_t>>(settings, "gap_column");
    if (const py::object assigner = settings["assigner"]; !assigner.is_none()) {
        branch.assigner = std::make_shared<PythonAssigner>(assigner);
    }
    branch.derived = expressions_of(setting<py::list>(settings, "derived"));
    branch.selections = expressions_of(setting<py::list>(settings, "selections"));
    for (const py::handle metric : settings["metrics"]) {
        branch.metrics.push_back(metric_of(py::reinterpret_borrow<py::dict>(metric)));
    }
    for (const py::handle series : settings["series"]) {
        branch.series.push_back(series_of(py::reinterpret_borrow<py::dict>(series)));
    }
    branch.forget_after = setting<Duration>(settings, "forget_after");
    branch.result_order = setting<std::vector<std::size_t>>(settings, "result_order");
    return branch;
}

}  // namespace llmopt_stream::bindings
