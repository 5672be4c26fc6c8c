#include "kafka/kafka_messages.hpp"

#include <array>

namespace llmopt_stream {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds kNoWait{0};
constexpr std::size_t kMostReady = 500;

// In between, a batch moves the position to resume at beyond the end of a partition (librdkafka #4844).
constexpr int kUnsoundBatchesFrom = 0x02020000;
constexpr int kUnsoundBatchesUntil = 0x020D0200;

// Before, a fetcher whose partitions all have enough in their queues sleeps for a second, however soon they
// are drained (librdkafka #2879).
constexpr int kFetchersWakeFrom = 0x02020000;
constexpr milliseconds kFetchPause{10};

std::string property_of(const rd_kafka_t* consumer, const char* name) {
    const rd_kafka_conf_t* const conf = rd_kafka_conf(const_cast<rd_kafka_t*>(consumer));
    std::size_t size = 0;
    if (rd_kafka_conf_get(conf, name, nullptr, &size) != RD_KAFKA_CONF_OK || size == 0) {
        return {};
    }
    std::string value(size, '\0');
    rd_kafka_conf_get(conf, name, value.data(), &size);
    value.resize(size - 1);
    return value;
}

}  // namespace

KafkaProperties KafkaMessages::settings() {
    if (rd_kafka_version() < kFetchersWakeFrom) {
        return {};
    }
    return {{"fetch.queue.backoff.ms", std::to_string(kFetchPause.count())}};
}

void KafkaMessages::open(rd_kafka_t* consumer) {
    consumer_ = consumer;
    const int version = rd_kafka_version();
    if (version < kUnsoundBatchesFrom || version >= kUnsoundBatchesUntil) {
        queue_.reset(rd_kafka_queue_get_consumer(consumer));
    }
    username_ = property_of(consumer, "sasl.username");
    password_ = property_of(consumer, "sasl.password");
}

void KafkaMessages::close() noexcept {
    held_.clear();
    queue_.reset();
    consumer_ = nullptr;
}

KafkaMessageHandle KafkaMessages::next(milliseconds wait) {
    if (held_.empty()) {
        take_ready();
    }
    if (held_.empty()) {
        return queue_ != nullptr && wait == kNoWait ? nullptr : poll(wait);
    }
    KafkaMessageHandle message = std::move(held_.front());
    held_.pop_front();
    return message;
}

void KafkaMessages::hold(milliseconds wait) {
    while (KafkaMessageHandle message = poll(wait)) {
        held_.push_back(std::move(message));
        wait = kNoWait;
    }
}

void KafkaMessages::take_ready() {
    wake_fetchers();
    if (queue_ == nullptr) {
        return;
    }
    std::array<rd_kafka_message_t*, kMostReady> messages{};
    // With a wait it would wait for as many.
    const auto count = rd_kafka_consume_batch_queue(queue_.get(), 0, messages.data(), messages.size());
    for (std::ptrdiff_t at = 0; at < count; ++at) {
        held_.emplace_back(messages[static_cast<std::size_t>(at)]);
    }
}

void KafkaMessages::wake_fetchers() {
    if (rd_kafka_version() >= kFetchersWakeFrom) {
        return;
    }
    const Clock::time_point now = Clock::now();
    if (now - woken_at_ >= kFetchPause) {
        woken_at_ = now;
        // The only call that wakes all of librdkafka's threads and asks nothing of a broker. The credentials
        // are those that it has.
        const KafkaHandle<rd_kafka_error_t> ignored(
            rd_kafka_sasl_set_credentials(consumer_, username_.c_str(), password_.c_str()));
    }
}

KafkaMessageHandle KafkaMessages::poll(milliseconds wait) {
    return KafkaMessageHandle(rd_kafka_consumer_poll(consumer_, static_cast<int>(wait.count())));
}

}  // namespace llmopt_stream
