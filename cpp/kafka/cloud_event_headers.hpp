#pragma once

#include <string>

#include "kafka/kafka_handles.hpp"
#include "record/batch_builder.hpp"
#include "source/json_decoder.hpp"

namespace llmopt_stream {

/// The Kafka protocol binding of CloudEvents 1.0 in binary mode: attributes in headers `ce_…`, the payload is
/// the data. Makes of it the JSON that the same event has in structured mode.
class CloudEventHeaders {
public:
    CloudEventHeaders();

    /// Empty where there is no header `ce_specversion`, or where the payload is no JSON object by itself.
    [[nodiscard]] std::string structured(const rd_kafka_message_t& message);

private:
    Schema nothing_;
    JsonDecoder decoder_;
    BatchBuilder builder_;
};

}  // namespace llmopt_stream
