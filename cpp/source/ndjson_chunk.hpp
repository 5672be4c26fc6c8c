#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "record/batch_builder.hpp"
#include "source/json_decoder.hpp"

namespace llmopt_stream {

/// Whole lines of newline-delimited JSON. NdjsonReader fills it in the order of the input;
/// decoding is independent of other chunks, so threads may decode several at a time.
class NdjsonChunk {
public:
    /// A batch never has more records, however short the lines are.
    static constexpr std::size_t kMaxBatchRecords = 16384;

    /// Whether record() will be asked for. Takes effect with the next batch.
    void set_keep_records(bool keep) noexcept { keep_records_ = keep; }

    /// Replaces the batch by the next lines' records, at most `max_records` and never more
    /// than kMaxBatchRecords; false, with an empty batch, if none are left. Blank lines are no
    /// records. Requires max_records > 0.
    bool decode(JsonDecoder& decoder, BatchBuilder& builder, std::size_t max_records = kMaxBatchRecords);

    /// The bytes of a record of the last batch, by its place among all input records of that
    /// batch; empty for a line beyond the record limit. Valid until the chunk is refilled.
    [[nodiscard]] std::string_view record(std::size_t input_index) const noexcept;

private:
    friend class NdjsonReader;

    [[nodiscard]] std::string_view rest() const noexcept { return {buffer_.data() + begin_, end_ - begin_}; }
    void keep(std::string_view line);

    std::vector<char> buffer_;  // kJsonPadding bytes longer than what is in use
    std::size_t begin_ = 0;     // of the lines not yet decoded
    std::size_t end_ = 0;
    /// A record that was too long to be kept comes before the first line.
    bool oversized_record_first_ = false;
    bool keep_records_ = false;
    std::vector<std::string_view> records_;
};

}  // namespace llmopt_stream
