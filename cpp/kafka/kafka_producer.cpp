#include "kafka/kafka_producer.hpp"

#include <array>

#include "sink/pane_export.hpp"
#include "sink/pane_json.hpp"

namespace llmopt_stream {
namespace {

constexpr int kWaitMs = 100;
/// How many records are handed over between two looks at delivery reports.
constexpr std::uint64_t kSentPerPoll = 64;

}  // namespace

KafkaProducer::KafkaProducer(const KafkaClientSettings& settings, std::function<void()> check)
    : KafkaClient(KafkaRole::kProducer, settings), check_(std::move(check)) {}

KafkaProducer::~KafkaProducer() { close(); }

void KafkaProducer::open(std::chrono::milliseconds patience) { static_cast<void>(topics(patience)); }

void KafkaProducer::on_delivery(const rd_kafka_message_t& message) {
    if (message.err == RD_KAFKA_RESP_ERR_NO_ERROR) {
        ++counts_.delivered;
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

void KafkaProducer::send(const KafkaMessage& message) {
    refuse_if_failed();
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
    while (true) {
        const KafkaHandle<rd_kafka_error_t> error(rd_kafka_produceva(handle(), parts.data(), parts.size()));
        if (error == nullptr) {
            static_cast<void>(headers.release());  // the message has them now
            break;
        }
        const rd_kafka_resp_err_t code = rd_kafka_error_code(error.get());
        if (code != RD_KAFKA_RESP_ERR__QUEUE_FULL) {
            throw kafka_failure("send to topic '" + topic + "' at " + brokers(), code,
                                rd_kafka_error_string(error.get()));
        }
        rd_kafka_poll(handle(), kWaitMs);
        check_();
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
        check_();
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
