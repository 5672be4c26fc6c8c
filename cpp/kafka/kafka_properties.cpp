#include "kafka/kafka_properties.hpp"

#include <algorithm>
#include <array>
#include <cctype>
#include <string_view>

#include "record/error.hpp"

namespace llmopt_stream {
namespace {

using Names = std::initializer_list<std::string_view>;

bool is_one_of(std::string_view name, Names names) {
    return std::find(names.begin(), names.end(), name) != names.end();
}

bool starts_with_any(std::string_view name, Names prefixes) {
    return std::any_of(prefixes.begin(), prefixes.end(),
                       [name](std::string_view prefix) { return name.starts_with(prefix); });
}

/// What both a consumer and a producer may be told.
bool is_common(std::string_view name) {
    return is_one_of(name, {"client.id",
                            "client.rack",
                            "broker.address.family",
                            "broker.address.ttl",
                            "connections.max.idle.ms",
                            "message.max.bytes",
                            "metadata.max.age.ms",
                            "topic.metadata.refresh.interval.ms",
                            "topic.metadata.refresh.fast.interval.ms",
                            "topic.metadata.propagation.max.ms",
                            "topic.blacklist",
                            "retry.backoff.ms",
                            "retry.backoff.max.ms",
                            "reconnect.backoff.ms",
                            "reconnect.backoff.max.ms",
                            "socket.timeout.ms",
                            "socket.connection.setup.timeout.ms",
                            "socket.keepalive.enable",
                            "socket.nagle.disable",
                            "socket.send.buffer.bytes",
                            "socket.receive.buffer.bytes",
                            "max.in.flight.requests.per.connection",
                            "receive.message.max.bytes",
                            "api.version.request.timeout.ms",
                            "client.dns.lookup",
                            "debug",
                            "log_level",
                            "log.connection.close",
                            "ssl.cipher.suites",
                            "ssl.curves.list",
                            "ssl.sigalgs.list",
                            "ssl.ca.pem",
                            "ssl.certificate.pem",
                            "ssl.key.pem",
                            "ssl.crl.location",
                            "ssl.keystore.location",
                            "ssl.keystore.password",
                            "sasl.kerberos.service.name",
                            "sasl.kerberos.principal",
                            "sasl.kerberos.keytab",
                            "test.mock.num.brokers"});
}

bool is_of_consumer(std::string_view name) {
    return is_one_of(
        name, {"fetch.wait.max.ms", "fetch.min.bytes", "fetch.max.bytes", "fetch.message.max.bytes",
               "max.partition.fetch.bytes", "fetch.error.backoff.ms", "fetch.queue.backoff.ms",
               "queued.min.messages", "queued.max.messages.kbytes", "check.crcs", "heartbeat.interval.ms",
               "max.poll.interval.ms", "coordinator.query.interval.ms", "auto.commit.interval.ms",
               "partition.assignment.strategy"});
}

bool is_of_producer(std::string_view name) {
    return is_one_of(name, {"linger.ms", "queue.buffering.max.ms", "batch.size", "batch.num.messages",
                            "queue.buffering.max.messages", "queue.buffering.max.kbytes", "compression.level",
                            "request.timeout.ms", "message.timeout.ms", "delivery.timeout.ms", "partitioner",
                            "sticky.partitioning.linger.ms"});
}

[[noreturn]] void refuse(const std::string& name, const std::string& why) {
    throw Error(ErrorKind::kConfiguration, "Kafka property '" + name + "': " + why);
}

void check_user_property(KafkaRole role, const std::string& name, std::string_view value) {
    // librdkafka's words for what logs secrets, which it takes in any case.
    std::string lower(value);
    std::transform(lower.begin(), lower.end(), lower.begin(),
                   [](unsigned char each) { return static_cast<char>(std::tolower(each)); });
    if (name == "debug" &&
        (lower.find("security") != std::string::npos || lower.find("conf") != std::string::npos ||
         lower.find("all") != std::string::npos)) {
        refuse(name, "'security', 'conf' and 'all' are refused, because they log secrets");
    }
    if (starts_with_any(name, {"plugin.", "ssl.engine", "ssl.providers"}) ||
        is_one_of(name, {"sasl.kerberos.kinit.cmd", "sasl.oauthbearer.config", "opaque"}) ||
        name.ends_with("_cb")) {
        refuse(name, "is refused, because whoever sets it can run code in this process");
    }
    if (is_one_of(name, {"enable.idempotence", "transactional.id", "transaction.timeout.ms",
                         "enable.gapless.guarantee", "enable.auto.offset.store", "enable.partition.eof",
                         "isolation.level", "allow.auto.create.topics", "delivery.report.only.error"})) {
        refuse(name, "is refused, because what the pipeline promises about delivery depends on it");
    }
    if (is_one_of(name, {"bootstrap.servers",
                         "metadata.broker.list",
                         "group.id",
                         "group.instance.id",
                         "enable.auto.commit",
                         "auto.offset.reset",
                         "session.timeout.ms",
                         "compression.type",
                         "compression.codec",
                         "acks",
                         "request.required.acks",
                         "retries",
                         "message.send.max.retries",
                         "security.protocol",
                         "sasl.mechanism",
                         "sasl.mechanisms",
                         "sasl.username",
                         "sasl.password",
                         "ssl.ca.location",
                         "ssl.certificate.location",
                         "ssl.key.location",
                         "ssl.key.password",
                         "enable.ssl.certificate.verification",
                         "ssl.endpoint.identification.algorithm"})) {
        refuse(name, "has a setting of its own; say it there");
    }
    if (!is_common(name) && !(role == KafkaRole::kConsumer ? is_of_consumer(name) : is_of_producer(name))) {
        refuse(name, std::string("is not among the properties that a ") +
                         (role == KafkaRole::kConsumer ? "consumer" : "producer") + " may be given");
    }
}

void set(rd_kafka_conf_t* conf, const std::string& name, const std::string& value) {
    std::array<char, 512> why{};
    if (rd_kafka_conf_set(conf, name.c_str(), value.c_str(), why.data(), why.size()) == RD_KAFKA_CONF_OK) {
        return;
    }
    std::string text = why.data();
    // librdkafka quotes the value, which may be a password.
    for (std::size_t at = value.empty() ? std::string::npos : text.find(value); at != std::string::npos;
         at = text.find(value, at + 1)) {
        text.replace(at, value.size(), "…");
    }
    refuse(name, text);
}

}  // namespace

void check_user_properties(KafkaRole role, const KafkaProperties& properties) {
    [[maybe_unused]] const auto checked = make_conf(role, {}, properties);
}

KafkaHandle<rd_kafka_conf_t> make_conf(KafkaRole role, const KafkaProperties& settings,
                                       const KafkaProperties& of_user) {
    KafkaHandle<rd_kafka_conf_t> conf(rd_kafka_conf_new());
    for (const auto& [name, value] : settings) {
        set(conf.get(), name, value);
    }
    for (const auto& [name, value] : of_user) {
        check_user_property(role, name, value);
        set(conf.get(), name, value);
    }
    return conf;
}

}  // namespace llmopt_stream
