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
    /// Records that were sent without what they hold, because the brokers do not take as much.
    std::uint64_t shortened = 0;
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
    /// `stopping` is asked now and then while a call waits. Once it says so, waits take no longer than
    /// `grace` in all. What it throws ends the wait.
    KafkaProducer(const KafkaClientSettings& settings, std::function<bool()> stopping,
                  std::chrono::milliseconds grace = std::chrono::milliseconds(20'000));
    ~KafkaProducer();

    /// Throws KafkaFailure if no broker answers in time, or if there is no such topic and brokers make none.
    void open(const std::string& topic, std::chrono::milliseconds patience);
    /// A record that is larger than what brokers take is sent without key and value, with those headers alone
    /// whose names begin with `prefix`, and `prefix` + "value_bytes".
    void shorten_large(std::string prefix) { shortened_prefix_ = std::move(prefix); }
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
    void check_topic(const std::string& topic);
    void refuse_if_failed();
    /// Within a wait.
    void refuse_to_wait_for_long();
    [[nodiscard]] rd_kafka_resp_err_t produce(const KafkaMessage& message, std::string& why);
    /// False where it is none of those that shorten_large() is about.
    [[nodiscard]] bool sent_shortened(const std::string& topic, std::size_t value_bytes,
                                      const std::vector<KafkaHeader>& headers);

    std::function<bool()> stopping_;
    std::chrono::milliseconds grace_;
    std::optional<std::chrono::steady_clock::time_point> wait_until_;
    std::string shortened_prefix_;
    KafkaProducerCounts counts_;
    std::optional<KafkaFailure> failure_;
    /// As it is while send() fills it, without the copies that each message would need.
    std::string key_;
    std::string value_;
};

}  // namespace llmopt_stream
