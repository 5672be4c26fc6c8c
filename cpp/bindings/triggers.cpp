#include "bindings/triggers.hpp"

#include <string>
#include <utility>

#include "record/error.hpp"

namespace llmopt_stream::bindings {
namespace {

class PythonTrigger final : public UserTrigger {
public:
    explicit PythonTrigger(py::object trigger) : trigger_(std::move(trigger)) {}

    bool should_fire(const Interval& window, Timestamp watermark, std::uint64_t waiting) override {
        const py::gil_scoped_acquire gil;
        return py::bool_(trigger_.attr("should_fire")(window.start, window.end, watermark, waiting));
    }
    bool should_purge(const Interval& window, Timestamp watermark) override {
        const py::gil_scoped_acquire gil;
        return py::bool_(trigger_.attr("should_purge")(window.start, window.end, watermark));
    }

private:
    py::object trigger_;
};

}  // namespace

Trigger trigger_of(const py::tuple& said) {
    const auto kind = said[0].cast<std::string>();
    Trigger trigger;
    const auto parts_of = [](const py::handle& parts) {
        std::vector<Trigger> triggers;
        for (const py::handle part : parts) {
            triggers.push_back(trigger_of(py::reinterpret_borrow<py::tuple>(part)));
        }
        return triggers;
    };
    const auto part_of = [](const py::handle& part) {
        return part.is_none() ? std::vector<Trigger>{}
                              : std::vector<Trigger>{trigger_of(py::reinterpret_borrow<py::tuple>(part))};
    };
    if (kind == "event_time") {
        trigger.kind = TriggerKind::kEventTime;
    } else if (kind == "count") {
        trigger.kind = TriggerKind::kCount;
        trigger.count = said[1].cast<std::uint64_t>();
    } else if (kind == "processing_time") {
        trigger.kind = TriggerKind::kProcessingTime;
        trigger.delay = said[1].cast<Duration>();
    } else if (kind == "any_of" || kind == "all_of") {
        trigger.kind = kind == "any_of" ? TriggerKind::kAnyOf : TriggerKind::kAllOf;
        trigger.parts = parts_of(said[1]);
    } else if (kind == "after_watermark") {
        trigger.kind = TriggerKind::kAfterWatermark;
        trigger.early = part_of(said[1]);
        trigger.late = part_of(said[2]);
    } else if (kind == "user") {
        trigger.kind = TriggerKind::kUser;
        trigger.user = std::make_shared<PythonTrigger>(py::reinterpret_borrow<py::object>(said[1]));
    } else {
        throw Error(ErrorKind::kConfiguration, "trigger: '" + kind + "' is not known");
    }
    return trigger;
}

}  // namespace llmopt_stream::bindings
