#include "kafka/kafka_consumer.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <future>

#include "kafka/kafka_producer.hpp"
#include "kafka/mock_cluster.hpp"

namespace llmopt_stream {
namespace {

using std::chrono::milliseconds;

class KafkaConsumerTest : public testing::Test {
protected:
    KafkaConsumerTest() {
        cluster_.create("t", 2);
        schema_.values.push_back({"v", FieldType::kInt64, true});
    }

    void produce(int records, std::int32_t partition_key = 0) {
        KafkaProducer producer(
            {{{"bootstrap.servers", cluster_.bootstrap()}, {"linger.ms", "0"}}, {}, cluster_.bootstrap()},
            [] { return false; });
        for (int record = 0; record < records; ++record) {
            const std::string value =
                R"({"timestamp":1767225600000000,"v":)" + std::to_string(produced_++) + "}";
            const std::string key = std::to_string(partition_key);
            producer.send({"t", key, value, {}});
        }
        producer.flush();
    }

    [[nodiscard]] KafkaConsumerSettings settings() const {
        KafkaConsumerSettings settings;
        settings.client = {{{"bootstrap.servers", cluster_.bootstrap()},
                            {"group.id", "g"},
                            {"enable.auto.commit", "false"},
                            {"enable.auto.offset.store", "false"},
                            {"enable.partition.eof", "true"},
                            {"auto.offset.reset", "error"},
                            {"fetch.wait.max.ms", "10"}},
                           {},
                           cluster_.bootstrap()};
        settings.topics = {"t"};
        settings.starts.patience = milliseconds(20'000);
        return settings;
    }

    /// Reads so many records, however many batches they come in.
    std::vector<std::int64_t> read(KafkaConsumer& consumer, std::size_t records) {
        JsonDecoder decoder(schema_);
        BatchBuilder builder(schema_);
        std::vector<std::int64_t> values;
        const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(30);
        while (values.size() < records && std::chrono::steady_clock::now() < until) {
            if (!consumer.next(decoder, builder, records - values.size(), milliseconds(50))) {
                break;
            }
            const RecordBatch batch = builder.batch();
            values.insert(values.end(), batch.values[0].int64.begin(), batch.values[0].int64.end());
        }
        return values;
    }

    MockCluster cluster_;
    Schema schema_;
    int produced_ = 0;
};

TEST_F(KafkaConsumerTest,
       AssignedPartitionsAreToldBeforeTheFirstRecordAndHavePositionsBeforeTheyHaveRecords) {
    produce(3);
    KafkaConsumer consumer(settings());
    consumer.open();
    EXPECT_EQ(read(consumer, 3), (std::vector<std::int64_t>{0, 1, 2}));
    EXPECT_EQ(consumer.take_partitions(), (std::vector<std::uint32_t>{0, 1}));
    EXPECT_EQ(consumer.take_partitions(), std::nullopt);
    std::int64_t sum = 0;
    ASSERT_EQ(consumer.positions().size(), 2U);
    for (const KafkaOffset& at : consumer.positions()) {
        sum += at.next_offset;
    }
    EXPECT_EQ(sum, 3);
}

TEST_F(KafkaConsumerTest, PositionsAreThoseOfRecordsHandedOutNotOfRecordsFetched) {
    produce(50);
    KafkaConsumer consumer(settings());
    consumer.open();
    EXPECT_EQ(read(consumer, 7).size(), 7U);
    std::int64_t sum = 0;
    for (const KafkaOffset& at : consumer.positions()) {
        sum += at.next_offset;
    }
    EXPECT_EQ(sum, 7);
}

TEST_F(KafkaConsumerTest, ACommitThatFailsIsCountedAndTheNextOneSucceeds) {
    produce(5);
    KafkaConsumer consumer(settings());
    consumer.open();
    read(consumer, 5);
    cluster_.fail(MockCluster::kOffsetCommit, {RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED});
    consumer.commit(consumer.positions());
    JsonDecoder decoder(schema_);
    BatchBuilder builder(schema_);
    for (int wait = 0; wait < 100 && consumer.counts().commit_failures == 0; ++wait) {
        ASSERT_TRUE(consumer.next(decoder, builder, 1, milliseconds(50)));
    }
    EXPECT_EQ(consumer.counts().commit_failures, 1U);
    consumer.commit(consumer.positions());
    consumer.close();
    EXPECT_EQ(consumer.counts().commits, 1U);
}

TEST_F(KafkaConsumerTest, OffsetsThatCannotBeLookedUpForAMomentAreLookedUpAgain) {
    produce(5);
    cluster_.fail(MockCluster::kOffsetFetch,
                  {RD_KAFKA_RESP_ERR_COORDINATOR_LOAD_IN_PROGRESS, RD_KAFKA_RESP_ERR_NOT_COORDINATOR});
    KafkaConsumer consumer(settings());
    consumer.open();
    EXPECT_EQ(read(consumer, 5).size(), 5U);
}

TEST_F(KafkaConsumerTest, OffsetsThatMayNotBeLookedUpAreAnError) {
    produce(5);
    cluster_.fail(MockCluster::kOffsetFetch, {RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED});
    KafkaConsumer consumer(settings());
    consumer.open();
    EXPECT_THROW(read(consumer, 5), KafkaFailure);
}

TEST_F(KafkaConsumerTest, ABrokerThatIsAwayForAWhileCostsNothing) {
    produce(5);
    KafkaConsumer consumer(settings());
    consumer.open();
    EXPECT_EQ(read(consumer, 5).size(), 5U);
    cluster_.set_down(true);
    JsonDecoder decoder(schema_);
    BatchBuilder builder(schema_);
    for (int step = 0; step < 5; ++step) {
        EXPECT_TRUE(consumer.next(decoder, builder, 10, milliseconds(50)));
        EXPECT_EQ(builder.input_records(), 0U);
    }
    cluster_.set_down(false);
    produce(5);
    EXPECT_EQ(read(consumer, 5), (std::vector<std::int64_t>{5, 6, 7, 8, 9}));
}

TEST_F(KafkaConsumerTest, AfterAnAbsenceAnEndIsOneOnlyWhereTheBrokerSaysSoAgain) {
    produce(1, 0);
    KafkaConsumerSettings of_absences = settings();
    of_absences.absence = milliseconds(0);
    KafkaConsumer consumer(of_absences);
    consumer.open();
    EXPECT_EQ(read(consumer, 1).size(), 1U);
    JsonDecoder decoder(schema_);
    BatchBuilder builder(schema_);
    for (int wait = 0; wait < 400 && !consumer.partitions_behind().empty(); ++wait) {
        ASSERT_TRUE(consumer.next(decoder, builder, 1, milliseconds(50)));
    }
    ASSERT_TRUE(consumer.partitions_behind().empty());
    produce(2, 1);
    // Whether or not the first of them is here already.
    ASSERT_TRUE(consumer.next(decoder, builder, 1, milliseconds(0)));
    EXPECT_EQ(consumer.partitions_behind(), (std::vector<std::uint32_t>{1}));
    cluster_.set_down(true);
    const std::vector<std::uint32_t> both{0, 1};
    for (int wait = 0; wait < 100 && consumer.partitions_behind() != both; ++wait) {
        ASSERT_TRUE(consumer.next(decoder, builder, 1, milliseconds(0)));
    }
    EXPECT_EQ(consumer.partitions_behind(), both);
    cluster_.set_down(false);
    for (int wait = 0; wait < 400 && !consumer.partitions_behind().empty(); ++wait) {
        ASSERT_TRUE(consumer.next(decoder, builder, 1, milliseconds(50)));
    }
    EXPECT_TRUE(consumer.partitions_behind().empty());
}

TEST_F(KafkaConsumerTest, AWaitForPartitionsIsExplainedOnce) {
    produce(1);
    const auto explanations = [](KafkaConsumer& consumer) {
        const auto said = consumer.take_log();
        return std::count_if(said.begin(), said.end(), [](const auto& entry) {
            return entry.second.find("no partitions yet") != std::string::npos;
        });
    };
    KafkaConsumerSettings impatient = settings();
    impatient.join_notice = milliseconds(0);
    KafkaConsumer consumer(impatient);
    consumer.open();
    JsonDecoder decoder(schema_);
    BatchBuilder builder(schema_);
    for (int step = 0; step < 2; ++step) {
        ASSERT_TRUE(consumer.next(decoder, builder, 1, milliseconds(0)));
        EXPECT_EQ(explanations(consumer), step == 0 ? 1 : 0);
    }
    KafkaConsumer patient(settings());
    patient.open();
    ASSERT_TRUE(patient.next(decoder, builder, 1, milliseconds(0)));
    EXPECT_EQ(explanations(patient), 0);
}

TEST_F(KafkaConsumerTest, ClosingBeforeAnythingIsAssignedNeitherHangsNorCrashes) {
    for (int time = 0; time < 10; ++time) {
        KafkaConsumer consumer(settings());
        consumer.open();
        if (time % 2 == 0) {
            consumer.close();
        }
    }
    KafkaConsumer never_opened(settings());
}

TEST_F(KafkaConsumerTest, ClosingDoesNotWaitForEverForLibrdkafkasThreads) {
    std::promise<void> asked;
    std::promise<void> go_on;
    std::shared_future<void> may_go_on = go_on.get_future();
    std::promise<void> answered;
    KafkaConsumerSettings of_token = settings();
    of_token.client.settings.insert(of_token.client.settings.end(), {{"security.protocol", "sasl_plaintext"},
                                                                     {"sasl.mechanism", "OAUTHBEARER"}});
    of_token.client.token = [&, first = true]() mutable -> KafkaToken {
        if (std::exchange(first, false)) {
            asked.set_value();
            may_go_on.wait();
            answered.set_value();
        }
        throw std::runtime_error("no token");
    };
    {
        KafkaConsumer consumer(of_token);
        asked.get_future().wait();
        consumer.close();
    }
    go_on.set_value();
    answered.get_future().wait();
}

TEST_F(KafkaConsumerTest, ABoundedReadEndsWhereThePartitionsEndedWhenItBegan) {
    produce(5, 0);
    produce(5, 1);
    KafkaConsumerSettings bounded = settings();
    bounded.until_end = true;
    KafkaConsumer consumer(bounded);
    consumer.open();
    produce(5);
    EXPECT_EQ(read(consumer, 100).size(), 10U);
}

}  // namespace
}  // namespace llmopt_stream
