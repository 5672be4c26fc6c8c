#include "record/batch_part.hpp"

namespace llmopt_stream {

const RecordBatch& BatchPart::take(const RecordBatch& batch, std::span<const std::uint32_t> records) {
    const auto gather = [&](auto& to, const auto& from) {
        to.resize(records.size());
        for (std::size_t at = 0; at < records.size(); ++at) {
            to[at] = from[records[at]];
        }
    };
    part_ = RecordBatch{};
    part_.size = part_.input_records = records.size();
    part_.keys = batch.keys;
    gather(event_time_, batch.event_time);
    gather(key_, batch.key);
    part_.event_time = event_time_;
    if (!batch.own_event_time.empty()) {
        gather(own_event_time_, batch.own_event_time);
        part_.own_event_time = own_event_time_;
    }
    part_.key = key_;
    float64_.resize(batch.values.size());
    int64_.resize(batch.values.size());
    present_.resize(batch.values.size());
    for (std::size_t column = 0; column < batch.values.size(); ++column) {
        const ValueColumn& from = batch.values[column];
        ValueColumn to{from.type, {}, {}, {}};
        if (from.type == FieldType::kFloat64) {
            gather(float64_[column], from.float64);
            to.float64 = float64_[column];
        } else {
            gather(int64_[column], from.int64);
            to.int64 = int64_[column];
            if (!from.present.empty()) {
                gather(present_[column], from.present);
                to.present = present_[column];
            }
        }
        part_.values.push_back(to);
    }
    labels_.resize(batch.labels.size());
    for (std::size_t column = 0; column < batch.labels.size(); ++column) {
        gather(labels_[column], batch.labels[column].code);
        part_.labels.push_back({labels_[column], batch.labels[column].values});
    }
    selections_.resize(batch.selections.size());
    for (std::size_t selection = 0; selection < batch.selections.size(); ++selection) {
        gather(selections_[selection], batch.selections[selection]);
        part_.selections.emplace_back(selections_[selection]);
    }
    if (!batch.gap.empty()) {
        gather(gap_, batch.gap);
        part_.gap = gap_;
    }
    if (!batch.window_ends.empty()) {
        windows_.clear();
        window_ends_.clear();
        for (const std::uint32_t record : records) {
            const std::uint32_t first = record == 0 ? 0 : batch.window_ends[record - 1];
            const auto windows = batch.windows.subspan(first, batch.window_ends[record] - first);
            windows_.insert(windows_.end(), windows.begin(), windows.end());
            window_ends_.push_back(static_cast<std::uint32_t>(windows_.size()));
        }
        part_.windows = windows_;
        part_.window_ends = window_ends_;
    }
    return part_;
}

}  // namespace llmopt_stream
