#pragma once

#include <librdkafka/rdkafka.h>

#include <memory>

namespace llmopt_stream {

/// librdkafka's objects, each freed by its own function.
struct KafkaDeleter {
    void operator()(rd_kafka_conf_t* conf) const noexcept { rd_kafka_conf_destroy(conf); }
    void operator()(rd_kafka_message_t* message) const noexcept { rd_kafka_message_destroy(message); }
    void operator()(rd_kafka_topic_partition_list_t* list) const noexcept {
        rd_kafka_topic_partition_list_destroy(list);
    }
    void operator()(rd_kafka_queue_t* queue) const noexcept { rd_kafka_queue_destroy(queue); }
    void operator()(rd_kafka_topic_t* topic) const noexcept { rd_kafka_topic_destroy(topic); }
    void operator()(rd_kafka_headers_t* headers) const noexcept { rd_kafka_headers_destroy(headers); }
    void operator()(rd_kafka_error_t* error) const noexcept { rd_kafka_error_destroy(error); }
    void operator()(const rd_kafka_metadata_t* metadata) const noexcept {
        rd_kafka_metadata_destroy(metadata);
    }
};

template <typename T>
using KafkaHandle = std::unique_ptr<T, KafkaDeleter>;

using KafkaPartitionList = KafkaHandle<rd_kafka_topic_partition_list_t>;
[[nodiscard]] inline KafkaPartitionList empty_partition_list() {
    return KafkaPartitionList(rd_kafka_topic_partition_list_new(8));
}

}  // namespace llmopt_stream
