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
class WatermarkTracker {
public:
    /// Without a bound only advance() moves the watermark.
    explicit WatermarkTracker(std::optional<Duration> max_out_of_orderness) : bound_(max_out_of_orderness) {}

    /// Takes records of one partition in order; afterwards `after[i]` is the watermark after record i.
    void on_records(std::span<const Timestamp> event_time, std::uint32_t partition,
                    std::vector<Timestamp>& after);
    /// Going back is ignored.
    void advance(Timestamp watermark) noexcept { current_ = std::max(current_, watermark); }
    [[nodiscard]] Timestamp current() const noexcept { return current_; }

    void encode(ByteWriter& out) const;
    void decode(ByteReader& in);

private:
    std::optional<Duration> bound_;
    std::map<std::uint32_t, Timestamp> partitions_;
    Timestamp current_ = kMinTimestamp;
};

}  // namespace llmopt_stream
