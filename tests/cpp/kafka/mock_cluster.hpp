#pragma once

#include <librdkafka/rdkafka.h>
#include <librdkafka/rdkafka_mock.h>

#include <array>
#include <initializer_list>
#include <stdexcept>
#include <string>

#include "kafka/kafka_properties.hpp"

namespace llmopt_stream {

/// Brokers in this process, which answer as they are told.
class MockCluster {
public:
    explicit MockCluster(int brokers = 1) {
        std::array<char, 256> why{};
        handle_ = rd_kafka_new(RD_KAFKA_PRODUCER, rd_kafka_conf_new(), why.data(), why.size());
        cluster_ = rd_kafka_mock_cluster_new(handle_, brokers);
        if (cluster_ == nullptr) {
            throw std::runtime_error("no mock cluster");
        }
    }
    ~MockCluster() {
        rd_kafka_mock_cluster_destroy(cluster_);
        rd_kafka_destroy(handle_);
    }
    MockCluster(const MockCluster&) = delete;
    MockCluster& operator=(const MockCluster&) = delete;

    [[nodiscard]] std::string bootstrap() const { return rd_kafka_mock_cluster_bootstraps(cluster_); }
    void create(const std::string& topic, int partitions) {
        rd_kafka_mock_topic_create(cluster_, topic.c_str(), partitions, 1);
    }
    /// The next requests of a kind fail, one after the other, with these.
    void fail(std::int16_t request, std::initializer_list<rd_kafka_resp_err_t> errors) {
        for (const rd_kafka_resp_err_t error : errors) {
            rd_kafka_mock_push_request_errors(cluster_, request, 1, error);
        }
    }
    void set_down(bool down) {
        if (down) {
            rd_kafka_mock_broker_set_down(cluster_, 1);
        } else {
            rd_kafka_mock_broker_set_up(cluster_, 1);
        }
    }

    static constexpr std::int16_t kProduce = 0;
    static constexpr std::int16_t kOffsetCommit = 8;
    static constexpr std::int16_t kOffsetFetch = 9;

private:
    rd_kafka_t* handle_ = nullptr;
    rd_kafka_mock_cluster_t* cluster_ = nullptr;
};

}  // namespace llmopt_stream
