#include "time/watermark_tracker.hpp"

#include <algorithm>

namespace llmopt_stream {

void WatermarkTracker::on_records(std::span<const Timestamp> event_time, std::uint32_t partition,
                                  std::vector<Timestamp>& after, std::span<const Timestamp> given) {
    after.resize(event_time.size());
    if ((!bound_ && given.empty()) || event_time.empty()) {
        std::fill(after.begin(), after.end(), current_);
        return;
    }
    Partition& own = partitions_[partition];
    Timestamp others = kMaxTimestamp;
    for (const auto& [other, state] : partitions_) {
        if (other != partition) {
            others = std::min(others, state.watermark);
        }
    }
    const auto follow = [&](auto own_watermark) {
        for (std::size_t record = 0; record < event_time.size(); ++record) {
            own.watermark = std::max(own.watermark, own_watermark(record));
            current_ = std::max(current_, std::min(own.watermark, others));
            after[record] = current_;
        }
    };
    if (!given.empty()) {
        follow([&](std::size_t record) { return given[record]; });
    } else if (interval_ == 0) {
        follow([&](std::size_t record) { return add_saturating(event_time[record], -*bound_); });
    } else {
        follow([&](std::size_t record) {
            const Timestamp greatest = own.greatest = std::max(own.greatest, event_time[record]);
            const bool is_first = own.at_step == kMinTimestamp;
            if (!is_first && greatest < add_saturating(own.at_step, interval_)) {
                return own.watermark;
            }
            own.at_step = greatest;
            return add_saturating(greatest, -*bound_);
        });
    }
}

void WatermarkTracker::encode(ByteWriter& out) const {
    out.write(current_);
    out.write<std::uint64_t>(partitions_.size());
    for (const auto& [partition, state] : partitions_) {
        out.write(partition);
        out.write(state.watermark);
        out.write(state.greatest);
        out.write(state.at_step);
    }
}

void WatermarkTracker::decode(ByteReader& in) {
    current_ = in.read<Timestamp>();
    const std::uint64_t partitions = in.read_count(sizeof(std::uint32_t) + 3 * sizeof(Timestamp));
    for (std::uint64_t at = 0; at < partitions; ++at) {
        const auto partition = in.read<std::uint32_t>();
        Partition& state = partitions_[partition];
        state.watermark = in.read<Timestamp>();
        state.greatest = in.read<Timestamp>();
        state.at_step = in.read<Timestamp>();
    }
}

}  // namespace llmopt_stream
