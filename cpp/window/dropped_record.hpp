#pragma once

#include <cstddef>
#include <utility>
#include <vector>

#include "record/record_batch.hpp"
#include "window/batch_clock.hpp"
#include "window/pane.hpp"
#include "window/window_plan.hpp"

namespace llmopt_stream {

/// Counts a record that no window took: as late if it is so late itself, else as outside of
/// windows. `windows_of()` names the windows that it came too late for.
template <typename WindowsOf>
void drop_record(const WindowPlan& plan, const RecordBatch& batch, const BatchClock& clock,
                 std::size_t record, Timestamp watermark, WindowOutput& out, WindowsOf windows_of) {
    const Timestamp t = batch.event_time[record];
    // Nothing is on time after the end of the input.
    if (watermark != kMaxTimestamp && add_saturating(t, plan.allowed_lateness) >= watermark) {
        ++out.outside_windows;
        return;
    }
    ++out.late_records;
    if (plan.collect_late) {
        const std::uint32_t input_index = clock.input_index_of(clock.stream_record_of(record));
        out.late.push_back(LateRecord{clock.first_position + input_index, input_index, t, watermark,
                                      std::string(batch.keys->key(batch.key[record])), windows_of()});
    }
}

}  // namespace llmopt_stream
