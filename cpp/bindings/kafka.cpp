#include "bindings/kafka.hpp"

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "bindings/bindings.hpp"
#include "bindings/results.hpp"
#include "kafka/kafka_headers.hpp"
#include "kafka/kafka_producer.hpp"

namespace llmopt_stream::bindings {
namespace {

using std::chrono::milliseconds;
using without_gil = py::call_guard<py::gil_scoped_release>;
using OffsetTuple = std::tuple<std::string, std::int32_t, std::int64_t>;

/// A Python function that threads without the interpreter's lock call and let go of.
class HeldFunction {
public:
    explicit HeldFunction(py::object function) : function_(std::move(function)) {}
    ~HeldFunction() {
        const py::gil_scoped_acquire gil;
        function_ = {};
    }
    HeldFunction(const HeldFunction&) = delete;
    HeldFunction& operator=(const HeldFunction&) = delete;

    [[nodiscard]] KafkaToken token() const {
        const py::gil_scoped_acquire gil;
        try {
            const auto [value, principal, expires_at_ms] =
                function_().cast<std::tuple<std::string, std::string, std::int64_t>>();
            return {value, principal, expires_at_ms};
        } catch (const py::error_already_set& error) {
            // Its type alone: the text may have the token. It dies here, under the lock.
            throw Error(ErrorKind::kKafka, py::str(error.type().attr("__name__")).cast<std::string>());
        }
    }

    /// Also lets Python handle signals.
    [[nodiscard]] bool said() const {
        const py::gil_scoped_acquire gil;
        if (PyErr_CheckSignals() != 0) {
            throw py::error_already_set();
        }
        return function_().cast<bool>();
    }

    [[nodiscard]] std::vector<std::optional<std::string>> json_of(
        std::span<const std::string_view> payloads) const {
        const py::gil_scoped_acquire gil;
        py::list texts;
        for (const std::string_view payload : payloads) {
            texts.append(py::bytes(payload.data(), payload.size()));
        }
        auto decoded = function_(std::move(texts)).cast<std::vector<std::optional<std::string>>>();
        if (decoded.size() != payloads.size()) {
            throw Error(ErrorKind::kKafka, "a decoder of payloads left some out");
        }
        return decoded;
    }

private:
    py::object function_;
};

KafkaClientSettings client_settings(KafkaProperties settings, KafkaProperties of_user, std::string brokers,
                                    py::object token) {
    KafkaTokenSource source;
    if (!token.is_none()) {
        source = [function = std::make_shared<HeldFunction>(std::move(token))] { return function->token(); };
    }
    return {std::move(settings), std::move(of_user), std::move(brokers), std::move(source)};
}

KafkaPayloadDecoder payload_decoder(py::object function) {
    if (function.is_none()) {
        return nullptr;
    }
    return [held = std::make_shared<HeldFunction>(std::move(function))](
               std::span<const std::string_view> payloads) { return held->json_of(payloads); };
}

KafkaStart start_of(const py::object& start) {
    if (py::isinstance<py::int_>(start)) {
        return {KafkaStart::Kind::kTime, start.cast<std::int64_t>()};
    }
    const auto name = start.cast<std::string>();
    return {name == "earliest" ? KafkaStart::Kind::kEarliest
            : name == "latest" ? KafkaStart::Kind::kLatest
                               : KafkaStart::Kind::kCommitted,
            0};
}

OffsetReset reset_of(const std::string& name) {
    return name == "earliest" ? OffsetReset::kEarliest
           : name == "latest" ? OffsetReset::kLatest
                              : OffsetReset::kNone;
}

KafkaGrouping grouping_of(const std::string& name) {
    return name == "single"          ? KafkaGrouping::kSingle
           : name == "keyed"         ? KafkaGrouping::kKeyed
           : name == "keyed_or_fail" ? KafkaGrouping::kKeyedOrFail
                                     : KafkaGrouping::kUnchecked;
}

std::vector<KafkaOffset> offsets_of(const std::vector<OffsetTuple>& tuples) {
    std::vector<KafkaOffset> offsets;
    for (const auto& [topic, partition, next_offset] : tuples) {
        offsets.push_back({topic, partition, next_offset});
    }
    return offsets;
}

py::object bytes_of(const void* data, std::size_t size) {
    return data == nullptr ? py::object(py::none()) : py::bytes(static_cast<const char*>(data), size);
}

/// (topic, partition, offset, timestamp in ms or None, key, headers, value) or None
py::object record(const BoundConsumer& self, std::size_t input_index) {
    const rd_kafka_message_t* const message = self.consumer->records().record(input_index);
    if (message == nullptr) {
        return py::none();
    }
    rd_kafka_timestamp_type_t kind = RD_KAFKA_TIMESTAMP_NOT_AVAILABLE;
    const std::int64_t time = rd_kafka_message_timestamp(message, &kind);
    py::list headers;
    for_each_header(*message, [&](std::string_view name, std::optional<std::string_view> value) {
        // Names may be any bytes, and go back as they came.
        const auto text = py::reinterpret_steal<py::str>(
            PyUnicode_DecodeUTF8(name.data(), static_cast<py::ssize_t>(name.size()), "surrogateescape"));
        headers.append(py::make_tuple(text, value ? py::object(py::bytes(*value)) : py::none()));
    });
    return py::make_tuple(rd_kafka_topic_name(message->rkt), message->partition, message->offset,
                          kind == RD_KAFKA_TIMESTAMP_NOT_AVAILABLE ? std::nullopt : std::optional(time),
                          bytes_of(message->key, message->key_len), std::move(headers),
                          bytes_of(message->payload, message->len));
}

py::dict consumer_counts(const BoundConsumer& self) {
    KafkaConsumerCounts counts;
    std::vector<std::pair<KafkaOffset, std::int64_t>> lags;
    {
        const py::gil_scoped_release released;
        counts = self.consumer->counts();
        lags = self.consumer->lag();
    }
    py::dict lag;
    for (const auto& [at, behind] : lags) {
        lag[py::str(at.topic + "-" + std::to_string(at.partition))] = behind;
    }
    py::dict result;
    result["records"] = counts.records;
    result["bytes"] = counts.bytes;
    result["tombstones"] = counts.tombstones;
    result["repeats_dropped"] = counts.repeats_dropped;
    result["rebalances"] = counts.rebalances;
    result["commits"] = counts.commits;
    result["commit_failures"] = counts.commit_failures;
    result["lost_offsets"] = counts.lost_offsets;
    result["split_keys"] = counts.split_keys;
    result["unchecked_keys"] = counts.unchecked_keys;
    result["lag"] = lag;
    return result;
}

struct BoundProducer {
    BoundProducer(const KafkaClientSettings& settings, py::object stopping)
        : producer(std::make_unique<KafkaProducer>(
              settings,
              [held = std::make_shared<HeldFunction>(std::move(stopping))] { return held->said(); })) {}
    ~BoundProducer() {
        const py::gil_scoped_release released;
        producer.reset();
    }
    BoundProducer(const BoundProducer&) = delete;
    BoundProducer& operator=(const BoundProducer&) = delete;

    std::unique_ptr<KafkaProducer> producer;
};

using BytesHeader = std::pair<py::str, std::optional<py::bytes>>;

std::vector<KafkaHeader> headers_of(const std::vector<BytesHeader>& headers) {
    std::vector<KafkaHeader> copies;
    for (const auto& [name, value] : headers) {
        // As they were read: names may be any bytes.
        const auto bytes = py::reinterpret_steal<py::bytes>(
            PyUnicode_AsEncodedString(name.ptr(), "utf-8", "surrogateescape"));
        if (!bytes) {
            throw py::error_already_set();
        }
        copies.emplace_back(bytes, value ? std::optional<std::string>(*value) : std::nullopt);
    }
    return copies;
}

void bind_consumer(py::module_& module) {
    py::class_<BoundConsumer>(module, "KafkaConsumer", "Reads the records of Kafka topics.")
        .def(py::init([](KafkaProperties settings, KafkaProperties properties, std::string brokers,
                         py::object token, std::vector<std::string> topics, const py::object& start,
                         const std::string& reset, bool until_end, bool cloud_events, bool auto_commit,
                         const std::string& grouping, py::object payloads, std::int64_t patience_ms,
                         std::int64_t max_poll_interval_ms) {
                 return std::make_unique<BoundConsumer>(
                     KafkaConsumerSettings{client_settings(std::move(settings), std::move(properties),
                                                           std::move(brokers), std::move(token)),
                                           std::move(topics),
                                           {start_of(start), reset_of(reset), milliseconds(patience_ms)},
                                           until_end,
                                           cloud_events,
                                           auto_commit,
                                           grouping_of(grouping),
                                           payload_decoder(std::move(payloads)),
                                           milliseconds(max_poll_interval_ms)});
             }),
             py::kw_only(), py::arg("settings"), py::arg("properties"), py::arg("brokers"), py::arg("token"),
             py::arg("topics"), py::arg("start"), py::arg("reset"), py::arg("until_end"),
             py::arg("cloud_events"), py::arg("auto_commit"), py::arg("grouping"), py::arg("payloads"),
             py::arg("patience_ms"), py::arg("max_poll_interval_ms"))
        .def(
            "seek",
            [](BoundConsumer& self, const std::vector<std::string>& topics,
               const std::vector<OffsetTuple>& offsets) { self.consumer->seek(topics, offsets_of(offsets)); },
            py::arg("topics"), py::arg("offsets"), "Where to start; before open().")
        .def(
            "open", [](BoundConsumer& self) { self.consumer->open(); }, without_gil())
        .def(
            "set_keep_records",
            [](BoundConsumer& self, bool keep) { self.consumer->records().set_keep(keep); }, py::arg("keep"),
            "Whether record() will be asked for.")
        .def(
            "record", &record, py::arg("input_index"),
            "(topic, partition, offset, timestamp in ms, key, headers, value) of a record of the last batch.")
        .def(
            "text",
            [](const BoundConsumer& self, std::size_t input_index) {
                return py::bytes(self.consumer->records().text(input_index));
            },
            py::arg("input_index"), "The JSON of a record of the last batch, as it was decoded.")
        .def(
            "topics", [](BoundConsumer& self) { return self.consumer->topics(); }, without_gil())
        .def(
            "positions",
            [](BoundConsumer& self) {
                std::vector<OffsetTuple> tuples;
                for (const KafkaOffset& at : self.consumer->positions()) {
                    tuples.emplace_back(at.topic, at.partition, at.next_offset);
                }
                return tuples;
            },
            without_gil(), "(topic, partition, offset of the next record)")
        .def(
            "commit",
            [](BoundConsumer& self, const std::vector<OffsetTuple>& offsets) {
                self.consumer->commit(offsets_of(offsets));
            },
            py::arg("offsets"), without_gil(), "Without waiting; close() waits for the outcome.")
        .def(
            "commit_and_wait", [](BoundConsumer& self) { self.consumer->commit_and_wait(); }, without_gil(),
            "Commits what was handed out; fails unless the broker has it in time.")
        .def("counts", &consumer_counts)
        .def("take_log", [](BoundConsumer& self) { return self.consumer->take_log(); })
        .def("close", [](BoundConsumer& self) { self.consumer->close(); }, without_gil());
}

void bind_producer(py::module_& module) {
    py::class_<BoundProducer>(module, "KafkaProducer", "Sends records to Kafka topics.")
        .def(py::init([](KafkaProperties settings, KafkaProperties properties, std::string brokers,
                         py::object token, py::object stopping) {
                 return std::make_unique<BoundProducer>(
                     client_settings(std::move(settings), std::move(properties), std::move(brokers),
                                     std::move(token)),
                     std::move(stopping));
             }),
             py::kw_only(), py::arg("settings"), py::arg("properties"), py::arg("brokers"), py::arg("token"),
             py::arg("stopping"))
        .def(
            "open",
            [](BoundProducer& self, const std::string& topic, std::int64_t patience_ms) {
                self.producer->open(topic, milliseconds(patience_ms));
            },
            py::arg("topic"), py::arg("patience_ms"), without_gil())
        .def(
            "shorten_large",
            [](BoundProducer& self, std::string prefix) { self.producer->shorten_large(std::move(prefix)); },
            py::arg("prefix"), "Sends what brokers find too large as headers with this prefix alone.")
        .def(
            "send",
            [](BoundProducer& self, const std::string& topic, const std::optional<py::bytes>& key,
               const std::optional<py::bytes>& value, const std::vector<BytesHeader>& headers) {
                KafkaMessage message{topic, {}, {}, headers_of(headers)};
                if (key) {
                    message.key = *key;
                }
                if (value) {
                    message.value = *value;
                }
                const py::gil_scoped_release released;
                self.producer->send(message);
            },
            py::arg("topic"), py::arg("key"), py::arg("value"), py::arg("headers"))
        .def(
            "send_panes",
            [](BoundProducer& self, const std::string& topic, const NamedPanes& panes,
               const std::vector<BytesHeader>& headers) {
                const std::vector<KafkaHeader> copies = headers_of(headers);
                const py::gil_scoped_release released;
                self.producer->send_panes(topic, panes.panes, panes.key_names, copies);
            },
            py::arg("topic"), py::arg("panes"), py::arg("headers"))
        .def(
            "flush", [](BoundProducer& self) { self.producer->flush(); }, without_gil(),
            "Waits until all that was sent is acknowledged.")
        .def("counts",
             [](const BoundProducer& self) {
                 const KafkaProducerCounts& counts = self.producer->counts();
                 py::dict result;
                 result["sent"] = counts.sent;
                 result["delivered"] = counts.delivered;
                 result["delivery_failures"] = counts.delivery_failures;
                 result["bytes"] = counts.bytes;
                 result["shortened"] = counts.shortened;
                 return result;
             })
        .def("take_log", [](BoundProducer& self) { return self.producer->take_log(); })
        .def(
            "close", [](BoundProducer& self) { self.producer->close(); }, without_gil(),
            "Gives up what was not delivered.");
}

}  // namespace

void bind_kafka(py::module_& module) {
    bind_consumer(module);
    bind_producer(module);
    module.def("librdkafka_version", [] { return std::string(rd_kafka_version_str()); });
    module.def(
        "topics_match",
        [](const std::vector<std::string>& wanted, const std::string& topic) {
            return TopicPatterns(wanted).match(topic);
        },
        py::arg("wanted"), py::arg("topic"), "Whether a topic is one of these names, or matches a pattern.");
    module.def(
        "check_kafka_properties",
        [](bool of_producer, const KafkaProperties& properties) {
            check_user_properties(of_producer ? KafkaRole::kProducer : KafkaRole::kConsumer, properties);
        },
        py::arg("of_producer"), py::arg("properties"),
        "ConfigurationError unless users may set all of them to these values.");
}

}  // namespace llmopt_stream::bindings
