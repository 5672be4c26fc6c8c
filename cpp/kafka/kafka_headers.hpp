#pragma once

#include <librdkafka/rdkafka.h>

#include <cstddef>
#include <optional>
#include <string_view>

namespace llmopt_stream {

/// Calls `each` with the name and the value of every header, in order; without a value where that is null.
template <typename Each>
void for_each_header(const rd_kafka_message_t& message, Each each) {
    rd_kafka_headers_t* headers = nullptr;
    if (rd_kafka_message_headers(&message, &headers) != RD_KAFKA_RESP_ERR_NO_ERROR) {
        return;
    }
    const char* name = nullptr;
    const void* value = nullptr;
    std::size_t size = 0;
    for (std::size_t at = 0;
         rd_kafka_header_get_all(headers, at, &name, &value, &size) == RD_KAFKA_RESP_ERR_NO_ERROR; ++at) {
        each(std::string_view(name),
             value == nullptr ? std::nullopt
                              : std::optional(std::string_view(static_cast<const char*>(value), size)));
    }
}

}  // namespace llmopt_stream
