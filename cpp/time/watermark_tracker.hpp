#pragma once

#include <algorithm>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <vector>

#include "record/time.hpp"
#include "state/byte_codec.hpp"

namespace llmopt_stream {

/// The watermark of a stream: no record with an earlier time is expected any more. It is the
/// minimum over the partitions seen so far of (greatest event time - bound), or what was
/// set explicitly if that is greater, and never goes back.
///
/// With an interval a partition's watermark moves in steps: at its first record, and at each
/// record that makes the greatest event time at least `interval` more than it was at the last step.
class WatermarkTracker {
public:
    /// Without a bound only advance() and given watermarks move it.
    explicit WatermarkTracker(std::optional<Duration> max_out_of_orderness, Duration interval = 0)
        : bound_(max_out_of_orderness), interval_(interval) {}

    /// Takes records of one partition in order; afterwards `after[i]` is the watermark after record i.
    /// `given`, where not empty, has the partition's own watermark after each record, whatever
    /// the bound says.
    void on_records(std::span<const Timestamp> event_time, std::uint32_t partition,
                    std::vector<Timestamp>& after, std::span<const Timestamp> given = {});
    /// Going back is ignored.
    void advance(Timestamp watermark) noexcept { current_ = std::max(current_, watermark); }
    [[nodiscard]] Timestamp current() const noexcept { return current_; }

    void encode(ByteWriter& out) const;
    void decode(ByteReader& in);

private:
    struct Partition {
        Timestamp watermark = kMinTimestamp;
        /// Unused without an interval: the greatest event time, now and at the last step.
        Timestamp greatest = kMinTimestamp;
        Timestamp at_step = kMinTimestamp;
    };

    std::optional<Duration> bound_;
    Duration interval_;
    std::map<std::uint32_t, Partition> partitions_;
    Timestamp current_ = kMinTimestamp;
};

}  // namespace llmopt_stream
