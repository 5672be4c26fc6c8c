#include "window/window_operator.hpp"

#include <utility>

namespace llmopt_stream {
namespace {

/// Calls `function` with the windows that the variant holds.
template <typename Variant, typename Function>
decltype(auto) with(Variant& windows, Function function) {
    if (std::holds_alternative<KeyedWindows>(windows)) {
        return function(std::get<KeyedWindows>(windows));
    }
    if (std::holds_alternative<CountWindows>(windows)) {
        return function(std::get<CountWindows>(windows));
    }
    return function(std::get<AlignedWindows>(windows));
}

}  // namespace

WindowOperator::WindowOperator(const WindowPlan& plan, MetricRow row)
    : context_(std::make_unique<SliceContext>(std::move(row))), plan_(plan) {
    const bool aligned = plan.kind == WindowKind::kSliding || plan.kind == WindowKind::kCumulative;
    if (plan.kind == WindowKind::kCount) {
        windows_.emplace<CountWindows>(plan, *context_);
    } else if (aligned && plan.trigger.is_default()) {
        windows_.emplace<AlignedWindows>(plan, *context_);
    } else {
        windows_.emplace<KeyedWindows>(plan, *context_);
    }
}

void WindowOperator::on_batch(const RecordBatch& batch, const BatchClock& clock, WindowOutput& out) {
    with(windows_, [&](auto& windows) { windows.on_batch(batch, clock, out); });
}

void WindowOperator::on_watermark(Timestamp watermark, std::uint64_t position, WindowOutput& out) {
    with(windows_, [&](auto& windows) { windows.on_watermark(watermark, position, out); });
}

void WindowOperator::on_processing_time(Timestamp now, std::uint64_t position, WindowOutput& out) {
    if (auto* const keyed = std::get_if<KeyedWindows>(&windows_)) {
        keyed->on_processing_time(now, position, out);
    } else if (plan_.by_clock) {
        std::get<AlignedWindows>(windows_).on_watermark(now, position, out);
    }
}

std::vector<WindowVerdict> WindowOperator::explain(const RecordBatch& batch) {
    if (auto* const keyed = std::get_if<KeyedWindows>(&windows_)) {
        return keyed->explain(batch);
    }
    if (auto* const counted = std::get_if<CountWindows>(&windows_)) {
        return counted->explain(batch);
    }
    std::vector<WindowVerdict> verdicts;
    for (const Interval& window : assigner_of(plan_)->windows_of(batch.event_time[0])) {
        const bool expired = watermark() >= add_saturating(window.end, plan_.allowed_lateness);
        verdicts.push_back({window, expired                     ? WindowFate::kExpired
                                    : window.end <= watermark() ? WindowFate::kFiresAtOnce
                                                                : WindowFate::kTaken});
    }
    return verdicts;
}

Timestamp WindowOperator::watermark() const noexcept {
    return with(windows_, [](const auto& windows) { return windows.watermark(); });
}

std::size_t WindowOperator::live_slices() const noexcept {
    return with(windows_, [](const auto& windows) { return windows.live_slices(); });
}

void WindowOperator::encode(ByteWriter& out) const {
    with(windows_, [&](const auto& windows) { windows.encode(out); });
}

void WindowOperator::decode(ByteReader& in, const KeyFilter& keep, bool own) {
    if (auto* const aligned = std::get_if<AlignedWindows>(&windows_)) {
        aligned->decode(in, keep, own);
    } else if (auto* const counted = std::get_if<CountWindows>(&windows_)) {
        counted->decode(in, keep);
    } else {
        std::get<KeyedWindows>(windows_).decode(in, keep);
    }
}

void WindowOperator::begin_store(StateChanges& changes, const std::string& prefix, ByteWriter& out) {
    if (auto* const aligned = std::get_if<AlignedWindows>(&windows_)) {
        aligned->begin_store(changes, prefix, out);
    } else {
        encode(out);
    }
}

bool WindowOperator::store(std::size_t& budget) {
    auto* const aligned = std::get_if<AlignedWindows>(&windows_);
    return aligned == nullptr || aligned->store(budget);
}

void WindowOperator::forget_stored() {
    if (auto* const aligned = std::get_if<AlignedWindows>(&windows_)) {
        aligned->forget_stored();
    }
}

void WindowOperator::use_spill(Spill& spill, const std::string& prefix) {
    if (auto* const aligned = std::get_if<AlignedWindows>(&windows_)) {
        context_->spill = &spill;
        aligned->set_prefix(prefix);
    }
}

void WindowOperator::take_obsolete(std::vector<std::string>& names) {
    if (auto* const aligned = std::get_if<AlignedWindows>(&windows_)) {
        aligned->take_obsolete(names);
    }
}

}  // namespace llmopt_stream
