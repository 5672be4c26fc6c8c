#include "state/snapshot_frame.hpp"

#include <gtest/gtest.h>

#include "record/error.hpp"

namespace llmopt_stream {
namespace {

TEST(SnapshotFrame, OpensWhatWasSealed) {
    EXPECT_EQ(snapshot_frame::open("plan", snapshot_frame::seal("plan", "body")), "body");
    EXPECT_EQ(snapshot_frame::open("", snapshot_frame::seal("", "")), "");
}

TEST(SnapshotFrame, RefusesAnotherPlanAndNamesBoth) {
    try {
        (void)snapshot_frame::open("count", snapshot_frame::seal("sum", "body"));
        FAIL();
    } catch (const Error& error) {
        EXPECT_EQ(error.kind(), ErrorKind::kCheckpoint);
        EXPECT_NE(std::string(error.what()).find("sum"), std::string::npos);
        EXPECT_NE(std::string(error.what()).find("count"), std::string::npos);
    }
}

TEST(SnapshotFrame, RefusesEveryTruncationAndEveryFlippedBit) {
    const std::string sealed = snapshot_frame::seal("plan", "some state");
    for (std::size_t size = 0; size < sealed.size(); ++size) {
        EXPECT_THROW((void)snapshot_frame::open("plan", sealed.substr(0, size)), Error) << size;
    }
    for (std::size_t bit = 0; bit < 8 * sealed.size(); ++bit) {
        std::string altered = sealed;
        altered[bit / 8] = static_cast<char>(altered[bit / 8] ^ (1 << (bit % 8)));
        EXPECT_THROW((void)snapshot_frame::open("plan", altered), Error) << bit;
    }
}

}  // namespace
}  // namespace llmopt_stream
