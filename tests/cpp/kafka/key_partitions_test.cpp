#include "kafka/key_partitions.hpp"

#include <gtest/gtest.h>

namespace llmopt_stream {
namespace {

using Seen = KeyPartitions::Seen;

TEST(KeyPartitions, AKeyIsAtHomeWhereItWasFirstSeen) {
    KeyPartitions keys;
    EXPECT_EQ(keys.see("a", 1), Seen::kHere);
    EXPECT_EQ(keys.see("a", 1), Seen::kHere);
    EXPECT_EQ(keys.see("a", 2), Seen::kElsewhere);
    EXPECT_EQ(keys.see("a", 1), Seen::kHere);
    EXPECT_EQ(keys.see("", 2), Seen::kHere);
    EXPECT_EQ(keys.see("", 0), Seen::kElsewhere);
}

TEST(KeyPartitions, KeysBeyondTheMostAreSaidToBeSoAndTheOthersStayKnown) {
    KeyPartitions keys(2);
    EXPECT_EQ(keys.see("a", 0), Seen::kHere);
    EXPECT_EQ(keys.see("b", 1), Seen::kHere);
    EXPECT_EQ(keys.see("c", 1), Seen::kNotRemembered);
    EXPECT_EQ(keys.see("c", 0), Seen::kNotRemembered);
    EXPECT_EQ(keys.see("b", 0), Seen::kElsewhere);
}

}  // namespace
}  // namespace llmopt_stream
