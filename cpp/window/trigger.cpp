#include "window/trigger.hpp"

#include <algorithm>

namespace llmopt_stream {
namespace {

template <typename Function>
void for_each_part(const Trigger& trigger, Function function) {
    for (const auto* parts : {&trigger.parts, &trigger.early, &trigger.late}) {
        for (const Trigger& part : *parts) {
            function(part);
        }
    }
}

void collect_delays(const Trigger& trigger, std::vector<Duration>& delays) {
    if (trigger.kind == TriggerKind::kProcessingTime) {
        delays.push_back(trigger.delay);
    }
    for_each_part(trigger, [&](const Trigger& part) { collect_delays(part, delays); });
}

}  // namespace

bool Trigger::is_default() const noexcept {
    return kind == TriggerKind::kEventTime ||
           (kind == TriggerKind::kAfterWatermark && early.empty() && late.empty());
}

bool Trigger::asks_user() const noexcept {
    bool asks = kind == TriggerKind::kUser;
    for_each_part(*this, [&](const Trigger& part) { asks = asks || part.asks_user(); });
    return asks;
}

std::vector<Duration> Trigger::delays() const {
    std::vector<Duration> delays;
    collect_delays(*this, delays);
    std::sort(delays.begin(), delays.end());
    return delays;
}

bool Trigger::should_purge(const Interval& window, Timestamp watermark) const {
    if (kind == TriggerKind::kUser) {
        return user->should_purge(window, watermark);
    }
    bool purge = true;
    for_each_part(*this, [&](const Trigger& part) { purge = purge && part.should_purge(window, watermark); });
    return purge;
}

bool is_ready(const Trigger& trigger, const TriggerView& view) {
    const auto part_is_ready = [&](const Trigger& part) { return is_ready(part, view); };
    const bool at_end = view.watermark >= view.window.end;
    switch (trigger.kind) {
        case TriggerKind::kEventTime: return at_end && (view.waiting > 0 || !view.complete);
        case TriggerKind::kProcessingTime:
            return view.waiting > 0 && view.clock >= add_saturating(view.first_clock, trigger.delay);
        case TriggerKind::kCount: return view.waiting >= trigger.count;
        case TriggerKind::kAfterWatermark:
            if (!view.complete) {
                return at_end || std::any_of(trigger.early.begin(), trigger.early.end(), part_is_ready);
            }
            return trigger.late.empty() ? view.waiting > 0 : part_is_ready(trigger.late.front());
        case TriggerKind::kAnyOf:
            return std::any_of(trigger.parts.begin(), trigger.parts.end(), part_is_ready);
        case TriggerKind::kAllOf:
            return std::all_of(trigger.parts.begin(), trigger.parts.end(), part_is_ready);
        case TriggerKind::kUser:
            return view.ask_user && trigger.user->should_fire(view.window, view.watermark, view.waiting);
    }
    return false;
}

}  // namespace llmopt_stream
