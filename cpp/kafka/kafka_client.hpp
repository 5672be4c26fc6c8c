#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "kafka/kafka_error.hpp"
#include "kafka/kafka_handles.hpp"
#include "kafka/kafka_properties.hpp"

namespace llmopt_stream {

/// A severity of syslog's.
inline constexpr int kLogWarning = 4;

/// A token of SASL/OAUTHBEARER.
struct KafkaToken {
    std::string value;
    std::string principal;
    std::int64_t expires_at_ms;
};
/// Called from a thread of librdkafka, shortly before the last token expires. May throw.
using KafkaTokenSource = std::function<KafkaToken()>;

struct KafkaClientSettings {
    KafkaProperties settings;
    KafkaProperties of_user;
    /// As error messages name them.
    std::string brokers;
    KafkaTokenSource token = nullptr;
};

/// What consumer and producer have in common: a handle of librdkafka with its log and its errors.
class KafkaClient {
public:
    KafkaClient(const KafkaClient&) = delete;
    KafkaClient& operator=(const KafkaClient&) = delete;

    /// (severity as in syslog, text) since the last call; the oldest are dropped where nobody asks.
    [[nodiscard]] std::vector<std::pair<int, std::string>> take_log();

protected:
    KafkaClient(KafkaRole role, const KafkaClientSettings& settings);
    /// Derived classes destroy the handle, before what their callbacks use is gone. Here it is that of one
    /// whose constructor has failed.
    ~KafkaClient() { destroy(); }

    [[nodiscard]] rd_kafka_t* handle() const noexcept { return handle_; }
    [[nodiscard]] const std::string& brokers() const noexcept { return brokers_; }
    /// Idempotent. Waits for librdkafka's threads, but not for ever: those that do not end are left behind.
    void destroy() noexcept;
    void log(int severity, const std::string& text);

    /// Topics and their numbers of partitions. Throws KafkaFailure if no broker answers in time.
    [[nodiscard]] std::vector<std::pair<std::string, std::int32_t>> topics(
        std::chrono::milliseconds patience);
    /// Throws KafkaFailure where nothing can be done any more: credentials are refused, the client is fenced.
    void refuse_if_hopeless() const;

    virtual void on_rebalance(rd_kafka_resp_err_t /*event*/,
                              rd_kafka_topic_partition_list_t* /*partitions*/) {}
    virtual void on_commit(rd_kafka_resp_err_t /*error*/,
                           const rd_kafka_topic_partition_list_t* /*partitions*/) {}
    virtual void on_delivery(const rd_kafka_message_t& /*message*/) {}

private:
    /// What librdkafka's threads call, which may outlive the client.
    struct Called {
        void log(int severity, const std::string& text);
        void refresh_token(rd_kafka_t* handle);

        std::mutex mutex;
        KafkaClient* client = nullptr;
        KafkaTokenSource token;
    };

    void register_callbacks(KafkaRole role, rd_kafka_conf_t* conf);

    std::string brokers_;
    std::shared_ptr<Called> called_;
    rd_kafka_t* handle_ = nullptr;

    mutable std::mutex mutex_;
    std::deque<std::pair<int, std::string>> log_;
    std::optional<KafkaFailure> hopeless_;
    /// What a broker said last.
    std::string last_error_;
};

}  // namespace llmopt_stream
