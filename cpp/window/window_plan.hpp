#pragma once

#include <cstdint>

#include "record/time.hpp"

namespace llmopt_stream {

/// Whether a window's later panes hold everything so far or only what is new.
enum class Accumulation : std::uint8_t { kAccumulating, kDiscarding };

/// Tumbling windows are sliding ones with slide == size.
enum class WindowKind : std::uint8_t { kSliding, kCumulative, kSession };

/// The settings of a window operator; immutable, checked before they come here.
struct WindowPlan {
    WindowKind kind = WindowKind::kSliding;
    Duration size = 0;
    Duration slide = 0;
    Duration offset = 0;
    /// Of sessions, instead of the three above.
    Duration gap = 0;
    Duration allowed_lateness = 0;
    Accumulation accumulation = Accumulation::kAccumulating;
    /// Hand out the records that no window took, not only their number.
    bool collect_late = false;
};

}  // namespace llmopt_stream
