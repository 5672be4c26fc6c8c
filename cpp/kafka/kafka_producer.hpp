#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "kafka/kafka_client.hpp"
#include "window/pane.hpp"

namespace llmopt_stream {

struct KafkaProducerCounts {
    std::uint64_t sent = 0;
    std::uint64_t delivered = 0;
    std::uint64_t delivery_failures = 0;
    std::uint64_t bytes = 0;
};

/// A header; without a value where that is null.
using KafkaHeader = std::pair<std::string, std::optional<std::string>>;

struct KafkaMessage {
    std::string_view topic;
    std::optional<std::string_view> key;
    std::optional<std::string_view> value;
    std::vector<KafkaHeader> headers;
};

/// Sends records, and hears of each whether it was delivered. The first failure is thrown by the next call,
/// whichever it is: nothing counts as sent before flush() has returned. Not thread-safe.
class KafkaProducer final : public KafkaClient {
public:
    /// `check` is called now and then while a call waits; what it throws ends the wait.
    KafkaProducer(const KafkaClientSettings& settings, std::function<void()> check);
    ~KafkaProducer() override;

    /// Throws KafkaFailure if no broker answers in time.
    void open(std::chrono::milliseconds patience);
    /// Waits while librdkafka's queue is full, which is what holds a pipeline back.
    void send(const KafkaMessage& message);
    /// Each pane as JSON under its key, if it has one, with headers `pane` (its timing), `revision` (its
    /// index) and `headers`.
    void send_panes(std::string_view topic, const PaneTable& panes, const std::vector<std::string>& key_names,
                    const std::vector<KafkaHeader>& headers);
    /// Waits until all that was sent is acknowledged.
    void flush();
    /// Gives up what was not delivered.
    void close() noexcept;

    [[nodiscard]] const KafkaProducerCounts& counts() const noexcept { return counts_; }

private:
    void on_delivery(const rd_kafka_message_t& message) override;
    void refuse_if_failed();

    std::function<void()> check_;
    KafkaProducerCounts counts_;
    std::optional<KafkaFailure> failure_;
    /// As it is while send() fills it, without the copies that each message would need.
    std::string key_;
    std::string value_;
};

}  // namespace llmopt_stream
