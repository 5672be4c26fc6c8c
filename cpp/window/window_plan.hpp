#pragma once

#include "record/time.hpp"

namespace llmopt_stream {

/// Whether a window's later panes hold everything so far or only what is new.
enum class Accumulation : std::uint8_t { kAccumulating, kDiscarding };

/// The settings of a window operator; immutable, checked before they come here.
struct WindowPlan {
    Duration size = 0;
    Duration slide = 0;
    Duration offset = 0;
    Duration allowed_lateness = 0;
    Accumulation accumulation = Accumulation::kAccumulating;
    /// Hand out the records that no window took, not only their number.
    bool collect_late = false;
};

}  // namespace llmopt_stream
