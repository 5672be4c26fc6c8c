#include "kafka/cloud_event_headers.hpp"

#include <string_view>

#include "kafka/kafka_headers.hpp"
#include "sink/json_text.hpp"

namespace llmopt_stream {
namespace {

constexpr std::string_view kPrefix = "ce_";

/// No field has an empty name of this kind, so nothing but the document itself is checked.
Schema schema_of_nothing() {
    Schema schema;
    schema.time_path = "\x01";
    return schema;
}

}  // namespace

CloudEventHeaders::CloudEventHeaders()
    : nothing_(schema_of_nothing()), decoder_(nothing_), builder_(nothing_) {}

std::string CloudEventHeaders::structured(const rd_kafka_message_t& message) {
    rd_kafka_headers_t* headers = nullptr;
    const void* ignored = nullptr;
    std::size_t size = 0;
    if (rd_kafka_message_headers(&message, &headers) != RD_KAFKA_RESP_ERR_NO_ERROR ||
        rd_kafka_header_get_last(headers, "ce_specversion", &ignored, &size) != RD_KAFKA_RESP_ERR_NO_ERROR) {
        return {};
    }
    const std::string_view payload(static_cast<const char*>(message.payload), message.len);
    builder_.clear();
    // A payload that closes its object and says attributes of its own would not be an object by itself.
    if (decoder_.decode_unpadded(payload, builder_) != Malformed::kTimeMissing) {
        return {};
    }
    std::string json = "{";
    for_each_header(message, [&](std::string_view attribute, std::optional<std::string_view> value) {
        if (attribute == "content-type") {
            attribute = "datacontenttype";
        } else if (attribute.starts_with(kPrefix)) {
            attribute.remove_prefix(kPrefix.size());
        } else {
            return;
        }
        if (value && attribute != "data") {
            json_text::append_string(json, attribute);
            json += ':';
            json_text::append_string(json, *value);
            json += ',';
        }
    });
    json += "\"data\":";
    json += payload;
    return json += '}';
}

}  // namespace llmopt_stream
