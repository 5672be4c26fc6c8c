#include "time/watermark_tracker.hpp"

#include <algorithm>

namespace llmopt_stream {

void WatermarkTracker::on_records(std::span<const Timestamp> event_time, std::uint32_t partition,
                                  Timestamp now, std::vector<Timestamp>& after,
                                  std::span<const Timestamp> given) {
    after.resize(event_time.size());
    const bool follows = plan_.max_out_of_orderness || !given.empty();
    if (!follows || event_time.empty()) {
        std::fill(after.begin(), after.end(), current_);
        return;
    }
    Partition& own = partitions_[partition];
    own.active_at = now;
    Timestamp others = kMaxTimestamp;
    for (const auto& [other, state] : partitions_) {
        if (other != partition && !is_idle(state, now)) {
            others = std::min(others, state.watermark);
        }
    }
    const auto follow = [&](auto own_watermark) {
        for (std::size_t record = 0; record < event_time.size(); ++record) {
            own.greatest = std::max(own.greatest, event_time[record]);
            own.watermark = std::max(own.watermark, own_watermark(record));
            current_ = std::max(current_, std::min(own.watermark, others));
            after[record] = current_;
        }
    };
    if (!given.empty()) {
        follow([&](std::size_t record) { return given[record]; });
    } else if (plan_.interval == 0) {
        // The same with nothing but the greatest time carried from record to record.
        const Timestamp least = std::max(current_, std::min(own.watermark, others));
        const Duration back = -*plan_.max_out_of_orderness;
        Timestamp greatest = own.greatest;
        const Timestamp* const times = event_time.data();
        Timestamp* const watermarks = after.data();
        for (std::size_t record = 0; record < event_time.size(); ++record) {
            greatest = std::max(greatest, times[record]);
            watermarks[record] = std::max(least, std::min(add_saturating(greatest, back), others));
        }
        own.greatest = greatest;
        own.watermark = std::max(own.watermark, add_saturating(greatest, back));
        current_ = after.back();
    } else {
        follow([&](std::size_t) {
            const bool is_first = own.at_step == kMinTimestamp;
            if (!is_first && own.greatest < add_saturating(own.at_step, plan_.interval)) {
                return own.watermark;
            }
            own.at_step = own.greatest;
            return add_saturating(own.greatest, -*plan_.max_out_of_orderness);
        });
    }
}

void WatermarkTracker::set_partitions(std::span<const std::uint32_t> partitions, Timestamp now) {
    std::map<std::uint32_t, Partition> kept;
    for (const std::uint32_t partition : partitions) {
        const auto before = partitions_.find(partition);
        kept.emplace(partition, before == partitions_.end() ? Partition{.active_at = now} : before->second);
    }
    partitions_ = std::move(kept);
}

void WatermarkTracker::keep_active(std::span<const std::uint32_t> partitions, Timestamp now) {
    for (const std::uint32_t partition : partitions) {
        if (const auto at = partitions_.find(partition); at != partitions_.end()) {
            at->second.active_at = now;
        }
    }
}

void WatermarkTracker::on_processing_time(Timestamp now) {
    Timestamp active = kMaxTimestamp;
    Timestamp greatest = kMinTimestamp;
    Timestamp last_active = kMinTimestamp;
    bool any_active = false;
    for (const auto& [partition, state] : partitions_) {
        if (!is_idle(state, now)) {
            active = std::min(active, state.watermark);
            any_active = true;
        }
        greatest = std::max(greatest, state.greatest);
        last_active = std::max(last_active, state.active_at);
    }
    if (any_active) {
        advance(active);
    }
    if (plan_.flush_timeout && !partitions_.empty() &&
        now >= add_saturating(last_active, *plan_.flush_timeout)) {
        const Timestamp moved_on = add_saturating(greatest, now - last_active);
        advance(add_saturating(moved_on, -plan_.max_out_of_orderness.value_or(0)));
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
        out.write(state.active_at);
    }
}

void WatermarkTracker::decode(ByteReader& in) {
    current_ = in.read<Timestamp>();
    const std::uint64_t partitions = in.read_count(sizeof(std::uint32_t) + 4 * sizeof(Timestamp));
    for (std::uint64_t at = 0; at < partitions; ++at) {
        const auto partition = in.read<std::uint32_t>();
        Partition& state = partitions_[partition];
        state.watermark = in.read<Timestamp>();
        state.greatest = in.read<Timestamp>();
        state.at_step = in.read<Timestamp>();
        state.active_at = in.read<Timestamp>();
    }
}

}  // namespace llmopt_stream
