#include "kafka/kafka_client.hpp"

#include <algorithm>
#include <array>
#include <exception>
#include <future>
#include <thread>
#include <utility>

namespace llmopt_stream {
namespace {

constexpr std::size_t kMostLogLines = 1000;
constexpr int kError = 3;
constexpr std::chrono::milliseconds kDestroyDeadline{10'000};

}  // namespace

KafkaClient::KafkaClient(KafkaRole role, const KafkaClientSettings& settings)
    : brokers_(settings.brokers), called_(std::make_shared<Called>()) {
    called_->client = this;
    called_->token = settings.token;
    KafkaHandle<rd_kafka_conf_t> conf = make_conf(role, settings.settings, settings.of_user);
    register_callbacks(role, conf.get());
    std::array<char, 512> why{};
    handle_ = rd_kafka_new(role == KafkaRole::kConsumer ? RD_KAFKA_CONSUMER : RD_KAFKA_PRODUCER, conf.get(),
                           why.data(), why.size());
    if (handle_ == nullptr) {
        throw Error(ErrorKind::kConfiguration, "Kafka settings: " + std::string(why.data()));
    }
    static_cast<void>(conf.release());  // the handle has it now
    if (settings.token) {
        // On a thread of librdkafka's own: a pipeline that is busy for long stays connected.
        const KafkaHandle<rd_kafka_error_t> error(rd_kafka_sasl_background_callbacks_enable(handle_));
        if (error != nullptr) {
            const std::string text = rd_kafka_error_string(error.get());
            destroy();
            throw Error(ErrorKind::kKafka, "token refresh: " + text);
        }
    }
}

void KafkaClient::register_callbacks(KafkaRole role, rd_kafka_conf_t* conf) {
    rd_kafka_conf_set_opaque(conf, called_.get());
    rd_kafka_conf_set_log_cb(
        conf, [](const rd_kafka_t* handle, int level, const char* facility, const char* text) {
            static_cast<Called*>(rd_kafka_opaque(handle))->log(level, std::string(facility) + ": " + text);
        });
    // The others are called by whoever polls, but for the one for tokens: the client is there.
    rd_kafka_conf_set_error_cb(conf, [](rd_kafka_t*, int code, const char* reason, void* opaque) {
        auto* const self = static_cast<Called*>(opaque)->client;
        const auto error = static_cast<rd_kafka_resp_err_t>(code);
        const std::scoped_lock lock(self->mutex_);
        if (error != RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN || self->last_error_.empty()) {
            self->last_error_ = std::string(reason) + " (" + rd_kafka_err2name(error) + ")";
        }
        // The next token may be right.
        const bool refused = error == RD_KAFKA_RESP_ERR__AUTHENTICATION && !self->called_->token;
        if (refused || error == RD_KAFKA_RESP_ERR__FATAL || error == RD_KAFKA_RESP_ERR__FENCED) {
            self->hopeless_ = kafka_failure("Kafka " + self->brokers_, error, reason);
        }
    });
    if (role == KafkaRole::kConsumer) {
        rd_kafka_conf_set_rebalance_cb(conf, [](rd_kafka_t*, rd_kafka_resp_err_t event,
                                                rd_kafka_topic_partition_list_t* partitions, void* opaque) {
            static_cast<Called*>(opaque)->client->on_rebalance(event, partitions);
        });
        rd_kafka_conf_set_offset_commit_cb(
            conf, [](rd_kafka_t*, rd_kafka_resp_err_t error, rd_kafka_topic_partition_list_t* partitions,
                     void* opaque) { static_cast<Called*>(opaque)->client->on_commit(error, partitions); });
    } else {
        rd_kafka_conf_set_dr_msg_cb(conf, [](rd_kafka_t*, const rd_kafka_message_t* message, void* opaque) {
            static_cast<Called*>(opaque)->client->on_delivery(*message);
        });
    }
    if (called_->token) {
        rd_kafka_conf_enable_sasl_queue(conf, 1);
        rd_kafka_conf_set_oauthbearer_token_refresh_cb(
            conf, [](rd_kafka_t* handle, const char*, void* opaque) {
                static_cast<Called*>(opaque)->refresh_token(handle);
            });
    }
}

void KafkaClient::Called::refresh_token(rd_kafka_t* handle) {
    std::array<char, 256> why{};
    std::string failure;
    try {
        const KafkaToken said = token();
        if (rd_kafka_oauthbearer_set_token(handle, said.value.c_str(), said.expires_at_ms,
                                           said.principal.c_str(), nullptr, 0, why.data(),
                                           why.size()) == RD_KAFKA_RESP_ERR_NO_ERROR) {
            return;
        }
        failure = why.data();
    } catch (const std::exception& error) {
        failure = error.what();
    }
    log(kError, "the token of SASL/OAUTHBEARER: " + failure);
    rd_kafka_oauthbearer_set_token_failure(handle, failure.empty() ? "no token" : failure.c_str());
}

void KafkaClient::Called::log(int severity, const std::string& text) {
    const std::scoped_lock lock(mutex);
    if (client != nullptr) {
        client->log(severity, text);
    }
}

void KafkaClient::destroy() noexcept {
    if (handle_ == nullptr) {
        return;
    }
    std::promise<void> done;
    const std::future<void> destroyed = done.get_future();
    // Consumers leave their group before, within a deadline. librdkafka 2.0.2 may wait for ever for a
    // partition whose topic is gone.
    std::thread destroying(
        [handle = std::exchange(handle_, nullptr), called = called_, done = std::move(done)]() mutable {
            rd_kafka_destroy_flags(handle, RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE);
            done.set_value();
        });
    if (destroyed.wait_for(kDestroyDeadline) == std::future_status::ready) {
        destroying.join();
        return;
    }
    const std::scoped_lock lock(called_->mutex);
    called_->client = nullptr;
    destroying.detach();
}

void KafkaClient::log(int severity, const std::string& text) {
    const std::scoped_lock lock(mutex_);
    log_.emplace_back(severity, text);
    if (log_.size() > kMostLogLines) {
        log_.pop_front();
    }
    if (severity <= kLogWarning && last_error_.empty()) {
        last_error_ = text;
    }
}

std::vector<std::pair<int, std::string>> KafkaClient::take_log() {
    const std::scoped_lock lock(mutex_);
    std::vector<std::pair<int, std::string>> lines(log_.begin(), log_.end());
    log_.clear();
    return lines;
}

std::vector<std::pair<std::string, std::int32_t>> KafkaClient::topics(std::chrono::milliseconds patience) {
    using Clock = std::chrono::steady_clock;
    const Clock::time_point until = Clock::now() + patience;
    while (true) {
        const rd_kafka_metadata_t* answered = nullptr;
        const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(until - Clock::now());
        const auto slice = std::clamp<std::int64_t>(left.count(), 1, 1000);
        const rd_kafka_resp_err_t error =
            rd_kafka_metadata(handle_, 1, nullptr, &answered, static_cast<int>(slice));
        const KafkaHandle<const rd_kafka_metadata_t> metadata(answered);
        if (error == RD_KAFKA_RESP_ERR_NO_ERROR) {
            std::vector<std::pair<std::string, std::int32_t>> topics;
            for (int topic = 0; topic < metadata->topic_cnt; ++topic) {
                topics.emplace_back(metadata->topics[topic].topic, metadata->topics[topic].partition_cnt);
            }
            return topics;
        }
        // What brokers said about the connection waits in the queue.
        rd_kafka_poll(handle_, 0);
        refuse_if_hopeless();
        if (Clock::now() >= until) {
            const std::scoped_lock lock(mutex_);
            throw kafka_failure("Kafka " + brokers_ + ": no broker answers", error,
                                last_error_.empty() ? rd_kafka_err2str(error) : last_error_);
        }
    }
}

void KafkaClient::refuse_if_hopeless() const {
    const std::scoped_lock lock(mutex_);
    if (hopeless_) {
        throw *hopeless_;
    }
}

}  // namespace llmopt_stream
