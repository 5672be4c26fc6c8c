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

/// How the watermark follows event times; checked before it comes here.
struct WatermarkPlan {
    /// Absent: only explicit and given watermarks move it.
    std::optional<Duration> max_out_of_orderness = std::nullopt;
    /// How far event time advances between two steps of a partition's watermark; 0: at any record.
    Duration interval = 0;
    /// How long on the clock a partition may be silent and still hold the others back.
    std::optional<Duration> idle_timeout = std::nullopt;
    /// How long on the clock the whole stream may be silent until event time moves on with the clock.
    std::optional<Duration> flush_timeout = std::nullopt;
};

/// The watermark of a stream: no record with an earlier time is expected any more. It is the
/// minimum over the partitions seen so far, without the idle ones, of (greatest event time -
/// bound), or what was set explicitly if that is greater, and never goes back.
///
/// With an interval a partition's watermark moves in steps: at its first record, and at each
/// record that makes the greatest event time at least `interval` more than it was at the last step.
class WatermarkTracker {
public:
    explicit WatermarkTracker(WatermarkPlan plan) : plan_(plan) {}

    /// Takes records of one partition in order, at `now` on the clock; afterwards `after[i]` is the
    /// watermark after record i. `given`, where not empty, has the partition's own watermark after
    /// each record, whatever the bound says.
    void on_records(std::span<const Timestamp> event_time, std::uint32_t partition, Timestamp now,
                    std::vector<Timestamp>& after, std::span<const Timestamp> given = {});
    /// The only partitions that records may come from now on. New ones hold the watermark back until their
    /// first record, or until they are idle; others no longer do.
    void set_partitions(std::span<const std::uint32_t> partitions, Timestamp now);
    /// They are not silent: there are records of theirs that have not come in yet.
    void keep_active(std::span<const std::uint32_t> partitions, Timestamp now);
    void on_processing_time(Timestamp now);
    /// Going back is ignored.
    void advance(Timestamp watermark) noexcept { current_ = std::max(current_, watermark); }
    [[nodiscard]] Timestamp current() const noexcept { return current_; }

    void encode(ByteWriter& out) const;
    void decode(ByteReader& in);

private:
    struct Partition {
        Timestamp watermark = kMinTimestamp;
        Timestamp greatest = kMinTimestamp;
        /// Unused without an interval: the greatest event time at the last step.
        Timestamp at_step = kMinTimestamp;
        /// When its last records came, on the clock.
        Timestamp active_at = 0;
    };

    [[nodiscard]] bool is_idle(const Partition& partition, Timestamp now) const noexcept {
        return plan_.idle_timeout && now >= add_saturating(partition.active_at, *plan_.idle_timeout);
    }

    WatermarkPlan plan_;
    std::map<std::uint32_t, Partition> partitions_;
    Timestamp current_ = kMinTimestamp;
};

}  // namespace llmopt_stream
