#pragma once

#include <chrono>
#include <deque>
#include <string>

#include "kafka/kafka_handles.hpp"
#include "kafka/kafka_properties.hpp"

namespace llmopt_stream {

using KafkaMessageHandle = KafkaHandle<rd_kafka_message_t>;

/// The messages of a consumer, many taken at a time: that costs half of what one by one does.
///
/// A pause or a rebalance may drop some of a batch that is being taken. So nobody pauses meanwhile, and who
/// assigns partitions says where each goes on.
class KafkaMessages {
public:
    /// What a consumer needs to be set to.
    [[nodiscard]] static KafkaProperties settings();

    /// `consumer` has to outlive what is taken, until close().
    void open(rd_kafka_t* consumer);
    void close() noexcept;

    /// The next message, an event or a record; nullptr after `wait`.
    [[nodiscard]] KafkaMessageHandle next(std::chrono::milliseconds wait);
    /// Takes all that is there, for next() to return it later, after waiting for the first.
    void hold(std::chrono::milliseconds wait);

private:
    using Clock = std::chrono::steady_clock;

    void take_ready();
    void wake_fetchers();
    [[nodiscard]] KafkaMessageHandle poll(std::chrono::milliseconds wait);

    rd_kafka_t* consumer_ = nullptr;
    std::deque<KafkaMessageHandle> held_;
    /// Where batches come from; nullptr where librdkafka's are not sound.
    KafkaHandle<rd_kafka_queue_t> queue_;
    std::string username_;
    std::string password_;
    Clock::time_point woken_at_;
};

}  // namespace llmopt_stream
