#pragma once

#include <cstdint>
#include <optional>

#include "record/time.hpp"
#include "window/aligned_window_assigner.hpp"
#include "window/trigger.hpp"

namespace llmopt_stream {

/// Whether a window's later panes hold everything so far or only what is new.
enum class Accumulation : std::uint8_t { kAccumulating, kDiscarding };

/// Tumbling windows are sliding ones with slide == size.
enum class WindowKind : std::uint8_t {
    kSliding,
    kCumulative,
    kSession,
    kCount,   ///< of a key's records in order of arrival
    kGlobal,  ///< one for all times
    kGiven,   ///< the batch says which windows each record is in
};

/// The settings of a window operator; immutable, checked before they come here.
struct WindowPlan {
    WindowKind kind = WindowKind::kSliding;
    /// Microseconds; of count windows, records.
    Duration size = 0;
    Duration slide = 0;
    Duration offset = 0;
    /// Of sessions, instead of the three above; 0 where the batch has each record's.
    Duration gap = 0;
    /// Of count windows: whether the end of the input fires the records that fill no window.
    bool flush = false;
    /// The clock takes the place of event time and watermark.
    bool by_clock = false;
    Duration allowed_lateness = 0;
    Trigger trigger;
    /// How long after its end a window's state is kept at least; no record is added to it for that.
    Duration kept_after_end = 0;
    Accumulation accumulation = Accumulation::kAccumulating;
    /// Hand out the records that no window took, not only their number.
    bool collect_late = false;
};

/// Of sliding, cumulative and count windows.
[[nodiscard]] std::optional<AlignedWindowAssigner> assigner_of(const WindowPlan& plan);

}  // namespace llmopt_stream
