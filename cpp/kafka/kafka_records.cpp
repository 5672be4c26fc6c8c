#include "kafka/kafka_records.hpp"

#include <cstring>

namespace llmopt_stream {
namespace {

constexpr std::size_t kMostRead = 500;
constexpr std::size_t kMostReadBytes = 1 << 20;

std::string_view payload_of(const rd_kafka_message_t& message) {
    return {static_cast<const char*>(message.payload), message.len};
}

Malformed unusable(const rd_kafka_message_t& message, const JsonDecoder& decoder) {
    return message.payload == nullptr                 ? Malformed::kTombstone
           : message.len > decoder.max_record_bytes() ? Malformed::kTooLarge
                                                      : Malformed::kNone;
}

std::optional<Timestamp> time_of(const rd_kafka_message_t& message) {
    rd_kafka_timestamp_type_t kind = RD_KAFKA_TIMESTAMP_NOT_AVAILABLE;
    const std::int64_t time_ms = rd_kafka_message_timestamp(&message, &kind);
    if (kind == RD_KAFKA_TIMESTAMP_NOT_AVAILABLE) {
        return std::nullopt;
    }
    Timestamp micros = 0;
    return __builtin_mul_overflow(time_ms, 1000, &micros) ? kMaxTimestamp : micros;
}

}  // namespace

void KafkaRecords::clear() noexcept {
    waiting_.clear();
    free_read();
    kept_.clear();
    kept_json_.clear();
    rejected_.clear();
}

void KafkaRecords::free_read() noexcept {
    read_.clear();
    read_bytes_ = 0;
}

void KafkaRecords::add(KafkaMessageHandle message, JsonDecoder& decoder, BatchBuilder& builder) {
    if (payloads_) {
        waiting_.push_back(std::move(message));
        return;
    }
    const Malformed why = unusable(*message, decoder);
    std::string enveloped;
    if (cloud_events_ && why == Malformed::kNone) {
        enveloped = envelope_.structured(*message);
    }
    decode(std::move(message), why, std::move(enveloped), decoder, builder);
}

void KafkaRecords::decode_waiting(JsonDecoder& decoder, BatchBuilder& builder) {
    std::vector<std::string_view> payloads;
    for (const KafkaMessageHandle& message : waiting_) {
        if (unusable(*message, decoder) == Malformed::kNone) {
            payloads.push_back(payload_of(*message));
        }
    }
    std::vector<std::optional<std::string>> made;
    if (!payloads.empty()) {
        made = payloads_(payloads);
    }
    auto next = made.begin();
    for (KafkaMessageHandle& message : waiting_) {
        Malformed why = unusable(*message, decoder);
        std::string json;
        if (why == Malformed::kNone) {
            json = std::move(*next).value_or(std::string());
            why = json.empty()                               ? Malformed::kUndecodable
                  : json.size() > decoder.max_record_bytes() ? Malformed::kTooLarge
                                                             : Malformed::kNone;
            ++next;
        }
        decode(std::move(message), why, std::move(json), decoder, builder);
    }
    waiting_.clear();
}

void KafkaRecords::decode(KafkaMessageHandle message, Malformed why, std::string made, JsonDecoder& decoder,
                          BatchBuilder& builder) {
    ++counts_.records;
    counts_.bytes += message->len;
    counts_.tombstones += why == Malformed::kTombstone ? 1 : 0;
    builder.set_default_time(time_of(*message));
    if (why == Malformed::kNone) {
        why = decode_json(made.empty() ? payload_of(*message) : made, decoder, builder);
    } else {
        builder.begin_record();
        builder.reject(why);
    }
    if (!keep_) {
        read_bytes_ += message->len;
        read_.push_back(std::move(message));
        if (read_.size() >= kMostRead || read_bytes_ >= kMostReadBytes) {
            free_read();
        }
        return;
    }
    if (why != Malformed::kNone) {
        rejected_.emplace_back(static_cast<std::uint32_t>(builder.input_records() - 1), why);
    }
    kept_.push_back(std::move(message));
    kept_json_.push_back(std::move(made));
}

Malformed KafkaRecords::decode_json(std::string_view json, JsonDecoder& decoder, BatchBuilder& builder) {
    if (buffer_.size() < json.size() + 1 + kJsonPadding) {
        buffer_.resize(2 * json.size() + 1 + kJsonPadding);
    }
    json.copy(buffer_.data(), json.size());
    buffer_[json.size()] = '\n';
    // Records that are kept are decoded the slower way, which says what became of them.
    const bool is_line = !keep_ && std::memchr(buffer_.data(), '\n', json.size()) == nullptr;
    if (is_line &&
        decoder.decode_expected({buffer_.data(), json.size() + 1}, builder) != JsonDecoder::kUnexpected) {
        return Malformed::kNone;
    }
    return decoder.decode({buffer_.data(), json.size()}, builder);
}

const rd_kafka_message_t* KafkaRecords::record(std::size_t input_index) const noexcept {
    return input_index < kept_.size() ? kept_[input_index].get() : nullptr;
}

std::string KafkaRecords::text(std::size_t input_index) const {
    const rd_kafka_message_t* const message = record(input_index);
    if (message == nullptr || message->payload == nullptr) {
        return {};
    }
    const std::string& made = kept_json_[input_index];
    return made.empty() ? std::string(payload_of(*message)) : made;
}

}  // namespace llmopt_stream
