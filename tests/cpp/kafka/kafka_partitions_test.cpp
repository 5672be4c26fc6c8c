#include "kafka/kafka_partitions.hpp"

#include <gtest/gtest.h>

namespace llmopt_stream {
namespace {

KafkaPartitions::Partition& assigned(KafkaPartitions& partitions, const std::string& topic,
                                     std::int32_t index, std::int64_t next) {
    KafkaPartitions::Partition& partition = partitions(topic, index);
    partition.assigned = partition.fetching = true;
    partition.next = next;
    return partition;
}

TEST(KafkaPartitions, NumbersDependOnTheOrderInWhichTopicsWereSeen) {
    KafkaPartitions partitions;
    EXPECT_EQ(partitions("b", 3).number, 3U);
    EXPECT_EQ(partitions("a", 0).number, 65536U);
    EXPECT_EQ(partitions("b", 3).number, 3U);
    EXPECT_EQ(partitions.topics(), (std::vector<std::string>{"b", "a"}));
}

TEST(KafkaPartitions, NumbersAreTheSameAfterARestartAlsoWhereTheFirstTopicHasNoPosition) {
    KafkaPartitions before;
    static_cast<void>(before("b", 0));
    assigned(before, "a", 2, 17);
    KafkaPartitions after;
    after.seek(before.topics(), before.positions());
    EXPECT_EQ(after("a", 2).number, before("a", 2).number);
    EXPECT_EQ(after("a", 2).next, 17);
    EXPECT_EQ(after("b", 0).next, KafkaPartitions::kUnknown);
}

TEST(KafkaPartitions, PositionsAreOfAssignedPartitionsAlsoWhileARebalanceTakesThemAway) {
    KafkaPartitions partitions;
    assigned(partitions, "t", 0, 5);
    assigned(partitions, "t", 1, 0).fetching = false;
    KafkaPartitions::Partition& taken = partitions("t", 2);
    taken.next = 9;
    taken.known = true;
    EXPECT_EQ(partitions.positions(), (std::vector<KafkaOffset>{{"t", 0, 5}, {"t", 1, 0}}));
}

TEST(KafkaPartitions, APositionHoldsUntilItsPartitionIsAssigned) {
    KafkaPartitions partitions;
    const std::vector<KafkaOffset> before = {{"t", 0, 5}, {"t", 3, 7}};
    partitions.seek({"t"}, before);
    EXPECT_EQ(partitions.positions(), before);
}

TEST(KafkaPartitions, OneThatIsReadToItsEndInABoundedReadIsFinished) {
    KafkaPartitions partitions;
    assigned(partitions, "t", 0, 5).end = 5;
    KafkaPartitions::Partition& other = assigned(partitions, "t", 1, 4);
    other.end = 5;
    EXPECT_EQ(partitions.live_numbers(), (std::vector<std::uint32_t>{1}));
    EXPECT_FALSE(partitions.all_finished());
    other.next = 5;
    EXPECT_TRUE(partitions.all_finished());
}

TEST(KafkaPartitions, OneAtItsEndIsBehindWhereTheBrokerHasSaidOtherwiseOrIsBeingAsked) {
    KafkaPartitions partitions;
    KafkaPartitions::Partition& partition = assigned(partitions, "t", 0, 5);
    partition.at_end = true;
    partition.told_end = 5;
    EXPECT_TRUE(partitions.behind_numbers().empty());
    partition.told_end = 6;
    EXPECT_EQ(partitions.behind_numbers(), (std::vector<std::uint32_t>{0}));
    partition.next = 6;
    EXPECT_TRUE(partitions.behind_numbers().empty());
    partition.end_is_unknown = true;
    EXPECT_EQ(partitions.behind_numbers(), (std::vector<std::uint32_t>{0}));
}

TEST(KafkaPartitions, OneAtItsEndIsNotBehind) {
    KafkaPartitions partitions;
    assigned(partitions, "t", 0, 5).at_end = true;
    assigned(partitions, "t", 1, 5);
    EXPECT_EQ(partitions.behind_numbers(), (std::vector<std::uint32_t>{1}));
    EXPECT_EQ(partitions.live_numbers(), (std::vector<std::uint32_t>{0, 1}));
}

}  // namespace
}  // namespace llmopt_stream
