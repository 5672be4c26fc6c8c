#pragma once

#include <cstdint>
#include <span>

#include "record/record_batch.hpp"
#include "record/time.hpp"

namespace llmopt_stream {

/// Where the records of a batch stand in the whole stream, and the stream's watermark after
/// each of its records. The batch may be a part of a stream's batch, the records of one
/// shard; the watermarks are those of the whole all the same.
struct BatchClock {
    /// The watermark after each record of the stream's batch, never going back.
    std::span<const Timestamp> watermark_after;
    /// How many input records came before the stream's batch.
    std::uint64_t first_position = 0;
    /// For each record of the stream's batch its place among the input records; empty means
    /// that record i is input record i.
    std::span<const std::uint32_t> input_index;
    /// For each record of this batch which one of the stream's batch it is; empty means that
    /// record i is record i.
    std::span<const std::uint32_t> stream_record;

    [[nodiscard]] std::size_t stream_records() const noexcept { return watermark_after.size(); }
    [[nodiscard]] std::size_t stream_record_of(std::size_t record) const noexcept {
        return stream_record.empty() ? record : stream_record[record];
    }
    /// The place of a stream record among the input records of its batch.
    [[nodiscard]] std::uint32_t input_index_of(std::size_t stream_record_number) const noexcept {
        return input_index.empty() ? static_cast<std::uint32_t>(stream_record_number)
                                   : input_index[stream_record_number];
    }
    /// How many input records there are up to and with a stream record.
    [[nodiscard]] std::uint64_t position_after(std::size_t stream_record_number) const noexcept {
        return first_position + input_index_of(stream_record_number) + 1;
    }
};

}  // namespace llmopt_stream
