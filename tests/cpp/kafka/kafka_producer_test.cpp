#include "kafka/kafka_producer.hpp"

#include <gtest/gtest.h>

#include "kafka/mock_cluster.hpp"

namespace llmopt_stream {
namespace {

using std::chrono::milliseconds;

KafkaClientSettings settings_of(const MockCluster& cluster, KafkaProperties more = {}) {
    KafkaProperties settings = {{"bootstrap.servers", cluster.bootstrap()},
                                {"enable.idempotence", "true"},
                                {"acks", "all"},
                                {"linger.ms", "0"},
                                {"retries", "3"},
                                {"retry.backoff.ms", "10"}};
    settings.insert(settings.end(), more.begin(), more.end());
    return {settings, {}, cluster.bootstrap()};
}

constexpr auto kGoesOn = [] { return false; };

KafkaMessage message_of(std::string_view value) { return {"t", "k", value, {{"h", "1"}, {"null", {}}}}; }

TEST(KafkaProducer, FlushReturnsOnceEverythingIsDelivered) {
    MockCluster cluster;
    cluster.create("t", 2);
    KafkaProducer producer(settings_of(cluster), kGoesOn);
    producer.open("t", milliseconds(10'000));
    for (int message = 0; message < 1000; ++message) {
        producer.send(message_of("value"));
    }
    producer.flush();
    EXPECT_EQ(producer.counts().delivered, 1000U);
    EXPECT_EQ(producer.counts().bytes, 5000U);
    EXPECT_EQ(producer.counts().delivery_failures, 0U);
}

TEST(KafkaProducer, AnErrorThatPassesIsTriedAgain) {
    MockCluster cluster;
    cluster.create("t", 1);
    KafkaProducer producer(settings_of(cluster), kGoesOn);
    cluster.fail(MockCluster::kProduce,
                 {RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION, RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS});
    producer.send(message_of("value"));
    producer.flush();
    EXPECT_EQ(producer.counts().delivered, 1U);
}

TEST(KafkaProducer, AnErrorThatDoesNotPassIsThrownByFlushAndByEveryLaterCall) {
    MockCluster cluster;
    cluster.create("t", 1);
    KafkaProducer producer(settings_of(cluster), kGoesOn);
    cluster.fail(MockCluster::kProduce, {RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED});
    producer.send(message_of("value"));
    try {
        producer.flush();
        FAIL() << "it was not delivered";
    } catch (const KafkaFailure& failure) {
        EXPECT_EQ(failure.code(), "TOPIC_AUTHORIZATION_FAILED");
        EXPECT_FALSE(failure.retriable());
        EXPECT_NE(
            std::string(failure.what()).find("deliver to topic 't' partition 0 at " + cluster.bootstrap()),
            std::string::npos)
            << failure.what();
    }
    EXPECT_EQ(producer.counts().delivery_failures, 1U);
    EXPECT_THROW(producer.send(message_of("next")), KafkaFailure);
    EXPECT_THROW(producer.flush(), KafkaFailure);
}

TEST(KafkaProducer, WhatIsNotDeliveredInTimeFails) {
    MockCluster cluster;
    cluster.create("t", 1);
    KafkaProducer producer(settings_of(cluster, {{"message.timeout.ms", "300"}}), kGoesOn);
    producer.open("t", milliseconds(10'000));
    cluster.set_down(true);
    producer.send(message_of("value"));
    try {
        producer.flush();
        FAIL() << "it was not delivered";
    } catch (const KafkaFailure& failure) {
        EXPECT_EQ(failure.code(), "_MSG_TIMED_OUT");
        EXPECT_TRUE(failure.retriable());
    }
}

TEST(KafkaProducer, AFullQueueWaitsForTheBrokersAndHoldsTheCallerBack) {
    MockCluster cluster;
    cluster.create("t", 1);
    int checks = 0;
    KafkaProducer producer(settings_of(cluster, {{"queue.buffering.max.messages", "10"}}), [&] {
        if (++checks == 3) {
            cluster.set_down(false);
        }
        return false;
    });
    producer.open("t", milliseconds(10'000));
    cluster.set_down(true);
    for (int message = 0; message < 30; ++message) {
        producer.send(message_of("value"));
    }
    producer.flush();
    EXPECT_GE(checks, 3);
    EXPECT_EQ(producer.counts().delivered, 30U);
}

TEST(KafkaProducer, AWaitEndsSoonAfterTheRunIsToStop) {
    MockCluster cluster;
    cluster.create("t", 1);
    KafkaProducer producer(settings_of(cluster), [] { return true; }, milliseconds(200));
    producer.open("t", milliseconds(10'000));
    producer.send(message_of("value"));
    producer.flush();
    cluster.set_down(true);
    producer.send(message_of("value"));
    try {
        producer.flush();
        FAIL() << "it was not delivered";
    } catch (const KafkaFailure& failure) {
        EXPECT_EQ(failure.code(), "_TIMED_OUT");
        EXPECT_TRUE(failure.retriable());
    }
}

TEST(KafkaProducer, WhatIsTooLargeIsSentAsHeadersIfToldTo) {
    MockCluster cluster;
    cluster.create("t", 1);
    const std::string large(5'000, 'x');
    KafkaProducer producer(settings_of(cluster, {{"message.max.bytes", "2000"}}), kGoesOn);
    EXPECT_THROW(producer.send(message_of(large)), KafkaFailure);
    producer.shorten_large("h");
    producer.send(message_of(large));
    producer.send(message_of("value"));
    producer.flush();
    EXPECT_EQ(producer.counts().shortened, 1U);
    EXPECT_EQ(producer.counts().delivered, 2U);
    const std::string name = "h" + large;
    EXPECT_THROW(producer.send({"t", {}, "value", {{name, "1"}}}), KafkaFailure);
}

TEST(KafkaProducer, AWaitEndsWhenTheCheckThrows) {
    MockCluster cluster;
    cluster.create("t", 1);
    KafkaProducer producer(settings_of(cluster), []() -> bool { throw std::runtime_error("interrupted"); });
    producer.open("t", milliseconds(10'000));
    cluster.set_down(true);
    producer.send(message_of("value"));
    EXPECT_THROW(producer.flush(), std::runtime_error);
}

}  // namespace
}  // namespace llmopt_stream
