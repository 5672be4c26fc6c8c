#include "kafka/kafka_producer.hpp"

#include <array>
#include <thread>

#include "kafka/kafka_headers.hpp"
#include "sink/pane_export.hpp"
#include "sink/pane_json.hpp"

namespace llmopt_stream {
namespace {

using Clock = std::chrono::steady_clock;

constexpr int kWaitMs = 100;
constexpr int kRequestMs = 1'000;
constexpr std::chrono::milliseconds kNewTopicPatience{5'000};
/// How many records are handed over between two looks at delivery reports.
constexpr std::uint64_t kSentPerPoll = 64;

std::vector<KafkaHeader> headers_of(const rd_kafka_message_t& message) {
    std::vector<KafkaHeader> headers;
    for_each_header(message, [&](std::string_view name, std::optional<std::string_view> value) {
        headers.emplace_back(name, value ? std::optional<std::string>(*value) : std::nullopt);
    });
    return headers;
}

}  // namespace

KafkaProducer::KafkaProducer(const KafkaClientSettings& settings, std::function<bool()> stopping,
                             std::chrono::milliseconds grace)
    : KafkaClient(KafkaRole::kProducer, settings), stopping_(std::move(stopping)), grace_(grace) {}

KafkaProducer::~KafkaProducer() { close(); }

void KafkaProducer::open(const std::string& topic, std::chrono::milliseconds patience) {
    static_cast<void>(topics(patience));
    check_topic(topic);
}

void KafkaProducer::check_topic(const std::string& topic) {
    const KafkaHandle<rd_kafka_topic_t> handle_of(rd_kafka_topic_new(handle(), topic.c_str(), nullptr));
    rd_kafka_resp_err_t error = handle_of == nullptr ? rd_kafka_last_error() : RD_KAFKA_RESP_ERR_NO_ERROR;
    const Clock::time_point until = Clock::now() + kNewTopicPatience;
    while (handle_of != nullptr) {
        const rd_kafka_metadata_t* answered = nullptr;
        error = rd_kafka_metadata(handle(), 0, handle_of.get(), &answered, kRequestMs);
        const KafkaHandle<const rd_kafka_metadata_t> metadata(answered);
        if (error == RD_KAFKA_RESP_ERR_NO_ERROR && metadata->topic_cnt == 1) {
            error = metadata->topics[0].err;
            if (error == RD_KAFKA_RESP_ERR_NO_ERROR && metadata->topics[0].partition_cnt > 0) {
                return;
            }
        }
        if (Clock::now() >= until) {
            break;
        }
        std::this_thread::sleep_for(std::chrono::milliseconds(kWaitMs));
    }
    const bool is_missing = error == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART;
    throw kafka_failure("Kafka " + brokers() + ": topic '" + topic +
                            (is_missing ? "' does not exist, or may not be written" : "'"),
                        error);
}

void KafkaProducer::on_delivery(const rd_kafka_message_t& message) {
    if (message.err == RD_KAFKA_RESP_ERR_NO_ERROR) {
        ++counts_.delivered;
        return;
    }
    if (message.err == RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE &&
        sent_shortened(rd_kafka_topic_name(message.rkt), message.len, headers_of(message))) {
        return;
    }
    ++counts_.delivery_failures;
    if (!failure_) {
        const std::int32_t broker = rd_kafka_message_broker_id(&message);
        failure_ =
            kafka_failure("deliver to topic '" + std::string(rd_kafka_topic_name(message.rkt)) +
                              "' partition " + std::to_string(message.partition) + " at " + brokers() +
                              (broker < 0 ? std::string() : " (broker " + std::to_string(broker) + ")"),
                          message.err);
    }
}

void KafkaProducer::refuse_if_failed() {
    if (failure_) {
        throw *failure_;
    }
    refuse_if_hopeless();
}

void KafkaProducer::refuse_to_wait_for_long() {
    if (!wait_until_ && stopping_()) {
        wait_until_ = Clock::now() + grace_;
    }
    if (wait_until_ && Clock::now() >= *wait_until_) {
        throw kafka_failure("Kafka " + brokers() + ": what was sent is not delivered, and the run is to stop",
                            RD_KAFKA_RESP_ERR__TIMED_OUT);
    }
}

rd_kafka_resp_err_t KafkaProducer::produce(const KafkaMessage& message, std::string& why) {
    KafkaHandle<rd_kafka_headers_t> headers(rd_kafka_headers_new(message.headers.size()));
    for (const auto& [name, value] : message.headers) {
        rd_kafka_header_add(headers.get(), name.data(), static_cast<ssize_t>(name.size()),
                            value ? value->data() : nullptr, value ? static_cast<ssize_t>(value->size()) : 0);
    }
    const std::string topic(message.topic);
    std::array<rd_kafka_vu_t, 5> parts{};
    parts[0].vtype = RD_KAFKA_VTYPE_TOPIC;
    parts[0].u.cstr = topic.c_str();
    parts[1].vtype = RD_KAFKA_VTYPE_VALUE;
    parts[1].u.mem.ptr = message.value ? const_cast<char*>(message.value->data()) : nullptr;
    parts[1].u.mem.size = message.value ? message.value->size() : 0;
    parts[2].vtype = RD_KAFKA_VTYPE_KEY;
    parts[2].u.mem.ptr = message.key ? const_cast<char*>(message.key->data()) : nullptr;
    parts[2].u.mem.size = message.key ? message.key->size() : 0;
    parts[3].vtype = RD_KAFKA_VTYPE_MSGFLAGS;
    parts[3].u.i = RD_KAFKA_MSG_F_COPY;
    parts[4].vtype = RD_KAFKA_VTYPE_HEADERS;
    parts[4].u.headers = headers.get();
    const KafkaHandle<rd_kafka_error_t> error(rd_kafka_produceva(handle(), parts.data(), parts.size()));
    if (error == nullptr) {
        static_cast<void>(headers.release());  // the message has them now
        return RD_KAFKA_RESP_ERR_NO_ERROR;
    }
    why = rd_kafka_error_string(error.get());
    return rd_kafka_error_code(error.get());
}

bool KafkaProducer::sent_shortened(const std::string& topic, std::size_t value_bytes,
                                   const std::vector<KafkaHeader>& headers) {
    const std::string size_name = shortened_prefix_ + "value_bytes";
    KafkaMessage shortened{topic, {}, {}, {}};
    for (const KafkaHeader& header : headers) {
        if (header.first == size_name) {
            return false;  // it is one, and still too large
        }
        if (header.first.starts_with(shortened_prefix_)) {
            shortened.headers.push_back(header);
        }
    }
    shortened.headers.emplace_back(size_name, std::to_string(value_bytes));
    std::string ignored;
    if (shortened_prefix_.empty() || produce(shortened, ignored) != RD_KAFKA_RESP_ERR_NO_ERROR) {
        return false;
    }
    ++counts_.shortened;
    return true;
}

void KafkaProducer::send(const KafkaMessage& message) {
    refuse_if_failed();
    while (true) {
        std::string why;
        const rd_kafka_resp_err_t error = produce(message, why);
        if (error == RD_KAFKA_RESP_ERR_NO_ERROR ||
            (error == RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE &&
             sent_shortened(std::string(message.topic), message.value ? message.value->size() : 0,
                            message.headers))) {
            break;
        }
        if (error != RD_KAFKA_RESP_ERR__QUEUE_FULL) {
            throw kafka_failure("send to topic '" + std::string(message.topic) + "' at " + brokers(), error,
                                why);
        }
        rd_kafka_poll(handle(), kWaitMs);
        refuse_to_wait_for_long();
        refuse_if_failed();
    }
    ++counts_.sent;
    counts_.bytes += message.value ? message.value->size() : 0;
    if (counts_.sent % kSentPerPoll == 0) {
        rd_kafka_poll(handle(), 0);
    }
}

void KafkaProducer::send_panes(std::string_view topic, const PaneTable& panes,
                               const std::vector<std::string>& key_names,
                               const std::vector<KafkaHeader>& headers) {
    PaneJson json(key_names);
    KafkaMessage message{topic, {}, {}, {{"pane", {}}, {"revision", {}}}};
    message.headers.insert(message.headers.end(), headers.begin(), headers.end());
    for (std::size_t pane = 0; pane < panes.size(); ++pane) {
        value_.clear();
        json.append(panes, pane, value_);
        message.value = value_;
        if (!key_names.empty()) {
            key_.clear();
            json.append_key(panes, pane, key_);
            message.key = key_;
        }
        message.headers[0].second = timing_name(panes.timing[pane]);
        message.headers[1].second = std::to_string(panes.index[pane]);
        send(message);
    }
    rd_kafka_poll(handle(), 0);
    refuse_if_failed();
}

void KafkaProducer::flush() {
    if (handle() == nullptr) {
        return;
    }
    while (rd_kafka_outq_len(handle()) > 0) {
        rd_kafka_flush(handle(), kWaitMs);
        refuse_if_failed();
        refuse_to_wait_for_long();
    }
    refuse_if_failed();
}

void KafkaProducer::close() noexcept {
    if (handle() == nullptr) {
        return;
    }
    rd_kafka_purge(handle(), RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT);
    rd_kafka_poll(handle(), 0);
    destroy();
}

}  // namespace llmopt_stream
