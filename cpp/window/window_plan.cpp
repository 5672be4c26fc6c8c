#include "window/window_plan.hpp"

namespace llmopt_stream {

std::optional<AlignedWindowAssigner> assigner_of(const WindowPlan& plan) {
    using Shape = AlignedWindowAssigner::Shape;
    switch (plan.kind) {
        case WindowKind::kSliding: return AlignedWindowAssigner(plan.size, plan.slide, plan.offset);
        case WindowKind::kCumulative:
            return AlignedWindowAssigner(plan.size, plan.slide, plan.offset, Shape::kCumulative);
        case WindowKind::kCount:
            // A window ends at every multiple of the slide.
            return AlignedWindowAssigner(plan.size, plan.slide, floor_mod(-plan.size, plan.slide));
        default: return std::nullopt;
    }
}

}  // namespace llmopt_stream
