#pragma once

#include <memory>

#include "bindings/pybind.hpp"
#include "kafka/kafka_consumer.hpp"

namespace llmopt_stream::bindings {

/// A consumer as Python has it. librdkafka's threads may be about to call a token function of Python's, so
/// whatever waits for them does so without the interpreter's lock.
struct BoundConsumer {
    explicit BoundConsumer(const KafkaConsumerSettings& settings)
        : consumer(std::make_unique<KafkaConsumer>(settings)) {}
    ~BoundConsumer() {
        const py::gil_scoped_release without_gil;
        consumer.reset();
    }
    BoundConsumer(const BoundConsumer&) = delete;
    BoundConsumer& operator=(const BoundConsumer&) = delete;

    std::unique_ptr<KafkaConsumer> consumer;
};

}  // namespace llmopt_stream::bindings
