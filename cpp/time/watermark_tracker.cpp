#include "time/watermark_tracker.hpp"

#include <algorithm>

namespace llmopt_stream {

void WatermarkTracker::on_records(std::span<const Timestamp> event_time, std::uint32_t partition,
                                  std::vector<Timestamp>& after) {
    after.resize(event_time.size());
    if (!bound_ || event_time.empty()) {
        std::fill(after.begin(), after.end(), current_);
        return;
    }
    Timestamp& own = partitions_.try_emplace(partition, kMinTimestamp).first->second;
    Timestamp others = kMaxTimestamp;
    for (const auto& [other, watermark] : partitions_) {
        if (other != partition) {
            others = std::min(others, watermark);
        }
    }
    for (std::size_t record = 0; record < event_time.size(); ++record) {
        own = std::max(own, add_saturating(event_time[record], -*bound_));
        current_ = std::max(current_, std::min(own, others));
        after[record] = current_;
    }
}

void WatermarkTracker::encode(ByteWriter& out) const {
    out.write(current_);
    out.write<std::uint64_t>(partitions_.size());
    for (const auto& [partition, watermark] : partitions_) {
        out.write(partition);
        out.write(watermark);
    }
}

void WatermarkTracker::decode(ByteReader& in) {
    current_ = in.read<Timestamp>();
    const std::uint64_t partitions = in.read_count(sizeof(std::uint32_t) + sizeof(Timestamp));
    for (std::uint64_t at = 0; at < partitions; ++at) {
        const auto partition = in.read<std::uint32_t>();
        partitions_[partition] = in.read<Timestamp>();
    }
}

}  // namespace llmopt_stream
