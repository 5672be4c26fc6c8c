#include "source/ndjson_chunk.hpp"

#include <algorithm>
#include <cstring>

namespace llmopt_stream {
namespace {

bool is_blank(std::string_view line) { return line.find_first_not_of(" \t\r") == std::string_view::npos; }

}  // namespace

bool NdjsonChunk::decode(JsonDecoder& decoder, BatchBuilder& builder, std::size_t max_records) {
    max_records = std::min(max_records, kMaxBatchRecords);
    builder.clear();
    records_.clear();
    if (oversized_record_first_) {
        oversized_record_first_ = false;
        builder.begin_record();
        builder.reject(Malformed::kTooLarge);
        keep({});
    }
    const bool ends_with_newline = begin_ != end_ && buffer_[end_ - 1] == '\n';
    while (begin_ != end_ && builder.input_records() < max_records) {
        const char* const at = buffer_.data() + begin_;
        if (ends_with_newline) {
            const std::size_t record_bytes = decoder.decode_expected(rest(), builder);
            if (record_bytes != JsonDecoder::kUnexpected) {
                keep({at, record_bytes});
                begin_ += record_bytes + (at[record_bytes] == '\n' ? 1 : 2);
                continue;
            }
        }
        const auto* const newline = static_cast<const char*>(std::memchr(at, '\n', end_ - begin_));
        std::string_view line = newline == nullptr ? rest() : std::string_view(at, newline);
        begin_ += line.size() + (newline == nullptr ? 0 : 1);
        if (line.ends_with('\r')) {
            line.remove_suffix(1);
        }
        // The reader cannot know whether a line beyond the limit is blank; so none of them is.
        if ((line.empty() || line.front() != '{') && line.size() <= decoder.max_record_bytes() &&
            is_blank(line)) {
            continue;
        }
        keep(decoder.decode(line, builder) == Malformed::kTooLarge ? std::string_view() : line);
    }
    return builder.input_records() != 0;
}

void NdjsonChunk::keep(std::string_view line) {
    if (keep_records_) {
        records_.push_back(line);
    }
}

std::string_view NdjsonChunk::record(std::size_t input_index) const noexcept {
    return input_index < records_.size() ? records_[input_index] : std::string_view();
}

}  // namespace llmopt_stream
