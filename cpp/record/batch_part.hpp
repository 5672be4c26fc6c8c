#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "record/record_batch.hpp"

namespace llmopt_stream {

/// Some records of a batch, copied, with their keys, values, labels and selections.
class BatchPart {
public:
    /// The records at these places. Valid until the next call, and as long as the batch's dictionaries. It
    /// has no input_index.
    [[nodiscard]] const RecordBatch& take(const RecordBatch& batch, std::span<const std::uint32_t> records);

private:
    RecordBatch part_;
    std::vector<Timestamp> event_time_;
    std::vector<Timestamp> own_event_time_;
    std::vector<std::uint32_t> key_;
    std::vector<std::vector<double>> float64_;
    std::vector<std::vector<std::int64_t>> int64_;
    std::vector<std::vector<std::uint8_t>> present_;
    std::vector<std::vector<std::uint32_t>> labels_;
    std::vector<std::vector<std::uint8_t>> selections_;
    std::vector<Duration> gap_;
    std::vector<Interval> windows_;
    std::vector<std::uint32_t> window_ends_;
};

}  // namespace llmopt_stream
