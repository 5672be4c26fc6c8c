#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "kafka/cloud_event_headers.hpp"
#include "kafka/kafka_messages.hpp"
#include "record/batch_builder.hpp"
#include "source/json_decoder.hpp"

namespace llmopt_stream {

/// The JSON of each payload; nothing of those that cannot be decoded. May throw, then none of them is taken.
using KafkaPayloadDecoder =
    std::function<std::vector<std::optional<std::string>>(std::span<const std::string_view> payloads)>;

struct KafkaRecordCounts {
    std::uint64_t records = 0;
    std::uint64_t bytes = 0;
    std::uint64_t tombstones = 0;
};

/// The records of one batch: decodes messages into it, and keeps them where somebody will ask for them.
class KafkaRecords {
public:
    /// `cloud_events` puts the attributes of CloudEvents in binary mode around the payload; `payloads` is of
    /// those that are not JSON by themselves.
    KafkaRecords(bool cloud_events, KafkaPayloadDecoder payloads)
        : cloud_events_(cloud_events), payloads_(std::move(payloads)) {}

    /// Takes effect with the next batch.
    void set_keep(bool keep) noexcept { keep_ = keep; }
    void clear() noexcept;

    /// Decodes the message, or has it wait for decode_waiting().
    void add(KafkaMessageHandle message, JsonDecoder& decoder, BatchBuilder& builder);
    [[nodiscard]] std::size_t waiting() const noexcept { return waiting_.size(); }
    /// Throws what the decoder of payloads does; then those that waited are not in the batch.
    void decode_waiting(JsonDecoder& decoder, BatchBuilder& builder);

    /// By its place among the input records of the batch; nullptr if not kept.
    [[nodiscard]] const rd_kafka_message_t* record(std::size_t input_index) const noexcept;
    /// Its JSON as it was decoded: the payload, or what was made of it.
    [[nodiscard]] std::string text(std::size_t input_index) const;
    /// (place among the input records, why) of those that could not be decoded, if kept.
    [[nodiscard]] std::span<const std::pair<std::uint32_t, Malformed>> rejected() const noexcept {
        return rejected_;
    }
    /// Of all batches.
    [[nodiscard]] const KafkaRecordCounts& counts() const noexcept { return counts_; }

private:
    void free_read() noexcept;
    void decode(KafkaMessageHandle message, Malformed why, std::string made, JsonDecoder& decoder,
                BatchBuilder& builder);
    [[nodiscard]] Malformed decode_json(std::string_view json, JsonDecoder& decoder, BatchBuilder& builder);

    bool cloud_events_;
    KafkaPayloadDecoder payloads_;
    CloudEventHeaders envelope_;
    std::vector<KafkaMessageHandle> waiting_;
    std::vector<char> buffer_;
    KafkaRecordCounts counts_;

    /// Those that are not kept, to be freed together: librdkafka's threads allocate from the same memory, and
    /// each time that two of them meet there costs more than to decode a record.
    std::vector<KafkaMessageHandle> read_;
    std::size_t read_bytes_ = 0;
    bool keep_ = false;
    std::vector<KafkaMessageHandle> kept_;
    /// Of each kept one, where it is not its payload.
    std::vector<std::string> kept_json_;
    std::vector<std::pair<std::uint32_t, Malformed>> rejected_;
};

}  // namespace llmopt_stream
