#include "window/aligned_window_assigner.hpp"

#include <gtest/gtest.h>

#include <random>
#include <utility>

#include "record/error.hpp"

namespace llmopt_stream {
namespace {

using Intervals = std::vector<Interval>;

TEST(AlignedWindowAssigner, EventOnABoundaryBelongsToTheLaterWindow) {
    const AlignedWindowAssigner tumbling(10, 10, 0);
    EXPECT_EQ(tumbling.windows_of(9), (Intervals{{0, 10}}));
    EXPECT_EQ(tumbling.windows_of(10), (Intervals{{10, 20}}));
}

TEST(AlignedWindowAssigner, TimesBeforeTheEpochAreFlooredNotTruncated) {
    const AlignedWindowAssigner tumbling(10, 10, 0);
    EXPECT_EQ(tumbling.windows_of(-1), (Intervals{{-10, 0}}));
    EXPECT_EQ(tumbling.windows_of(-10), (Intervals{{-10, 0}}));
    EXPECT_EQ(tumbling.windows_of(-11), (Intervals{{-20, -10}}));
}

TEST(AlignedWindowAssigner, OffsetShiftsEveryWindow) {
    EXPECT_EQ(AlignedWindowAssigner(10, 10, 3).windows_of(2), (Intervals{{-7, 3}}));
    EXPECT_EQ(AlignedWindowAssigner(10, 10, 3).windows_of(3), (Intervals{{3, 13}}));
    EXPECT_EQ(AlignedWindowAssigner(10, 10, -3).windows_of(7), (Intervals{{7, 17}}));
}

TEST(AlignedWindowAssigner, SizeNeedsNotBeAMultipleOfTheSlide) {
    const AlignedWindowAssigner sliding(5, 2, 0);
    EXPECT_EQ(sliding.windows_of(4), (Intervals{{0, 5}, {2, 7}, {4, 9}}));
    EXPECT_EQ(sliding.windows_of(5), (Intervals{{2, 7}, {4, 9}}));
    EXPECT_EQ(sliding.slice_of(4), (Interval{4, 5}));
    EXPECT_EQ(sliding.slice_of(5), (Interval{5, 6}));
}

TEST(AlignedWindowAssigner, SlideBeyondTheSizeLeavesGaps) {
    const AlignedWindowAssigner sampling(3, 10, 0);
    EXPECT_EQ(sampling.windows_of(12), (Intervals{{10, 13}}));
    EXPECT_EQ(sampling.windows_of(13), Intervals{});
    EXPECT_FALSE(sampling.in_a_window(-1));
    EXPECT_EQ(sampling.slice_of(13), (Interval{13, 20}));
}

TEST(AlignedWindowAssigner, CumulativeWindowsShareAStartAndGrowByTheStep) {
    const AlignedWindowAssigner cumulative(30, 10, 5, AlignedWindowAssigner::Shape::kCumulative);
    EXPECT_EQ(cumulative.windows_of(5), (Intervals{{5, 15}, {5, 25}, {5, 35}}));
    EXPECT_EQ(cumulative.windows_of(24), (Intervals{{5, 25}, {5, 35}}));
    EXPECT_EQ(cumulative.windows_of(25), (Intervals{{5, 35}}));
    EXPECT_EQ(cumulative.windows_of(-1), (Intervals{{-25, 5}}));
    EXPECT_EQ(cumulative.slice_of(-1), (Interval{-5, 5}));
}

TEST(AlignedWindowAssigner, EndsOfTheTimeRangeAreHeld) {
    const AlignedWindowAssigner tumbling(10, 10, 0);
    EXPECT_EQ(tumbling.windows_of(kMaxTimestamp).back().end, kMaxTimestamp);
    EXPECT_EQ(tumbling.windows_of(kMinTimestamp).front().start, kMinTimestamp);
}

TEST(AlignedWindowAssigner, SettingsAreChecked) {
    EXPECT_THROW(AlignedWindowAssigner(0, 1, 0), Error);
    EXPECT_THROW(AlignedWindowAssigner(1, -1, 0), Error);
    EXPECT_THROW(AlignedWindowAssigner(10, 10, 10), Error);
    EXPECT_THROW(AlignedWindowAssigner(10, 4, 0, AlignedWindowAssigner::Shape::kCumulative), Error);
}

TEST(AlignedWindowAssigner, SlicesAreNumberedInTimeOrderAlsoBeforeTheEpoch) {
    const AlignedWindowAssigner sliding(5, 2,
                                        0);  // cut at starts, which are even, and at ends, which are odd
    for (Timestamp t = -50; t < 50; ++t) {
        EXPECT_TRUE(sliding.slice_number_of(t + 1) == sliding.slice_number_of(t) + 1) << t;
    }
    EXPECT_TRUE(sliding.slice_number_of(kMinTimestamp + 1) == sliding.slice_number_of(kMinTimestamp) + 1);
    EXPECT_TRUE(sliding.slice_number_of(kMaxTimestamp - 1) == sliding.slice_number_of(kMaxTimestamp) - 1);
    const AlignedWindowAssigner tumbling(10, 10, 3);
    EXPECT_TRUE(tumbling.slice_number_of(2) == -1);
    EXPECT_TRUE(tumbling.slice_number_of(3) == 0);
    EXPECT_TRUE(tumbling.slice_number_of(12) == 0);
    EXPECT_TRUE(tumbling.slice_number_of(13) == 1);
}

TEST(AlignedWindowAssigner, AWindowIsMadeOfTheSlicesWithinIt) {
    using enum AlignedWindowAssigner::Shape;
    for (const auto& [windows, most] :
         {std::pair(AlignedWindowAssigner(5, 2, 0), 5), std::pair(AlignedWindowAssigner(6, 2, 1), 3),
          std::pair(AlignedWindowAssigner(3, 10, -4), 1), std::pair(AlignedWindowAssigner(100, 7, 5), 29),
          std::pair(AlignedWindowAssigner(30, 5, -12, kCumulative), 6)}) {
        EXPECT_EQ(windows.slices_per_window(), most);
        for (Timestamp t = -150; t < 150; ++t) {
            for (const Interval& window : windows.windows_of(t)) {
                const SliceRange slices = windows.slices_of(window);
                EXPECT_TRUE(slices.first == windows.slice_number_of(window.start));
                EXPECT_TRUE(slices.end == windows.slice_number_of(window.end - 1) + 1);
                EXPECT_TRUE(windows.slice_number_of(window.end) >= slices.end);
                EXPECT_TRUE(windows.slice_number_of(window.start - 1) < slices.first);
                EXPECT_LE(static_cast<std::int64_t>(slices.end - slices.first), most);
            }
        }
    }
}

TEST(AlignedWindowAssigner, SlicesAndWindowsAgreeWithTheDefinition) {
    std::mt19937 random(3);
    for (int round = 0; round < 2'000; ++round) {
        const Duration size = 1 + random() % 12;
        const Duration slide = 1 + random() % 12;
        const Duration offset = static_cast<Duration>(random() % (2 * slide - 1)) - (slide - 1);
        const AlignedWindowAssigner windows(size, slide, offset);
        const Timestamp t = static_cast<Timestamp>(random() % 100) - 50;
        Intervals expected;
        for (Timestamp start = -100; start <= 100; ++start) {
            if (floor_mod(start - offset, slide) == 0 && start <= t && t < start + size) {
                expected.push_back({start, start + size});
            }
        }
        ASSERT_EQ(windows.windows_of(t), expected) << size << ' ' << slide << ' ' << offset << ' ' << t;
        const Interval slice = windows.slice_of(t);
        ASSERT_TRUE(slice.start <= t && t < slice.end);
        for (Timestamp other = slice.start; other < slice.end; ++other) {
            ASSERT_EQ(windows.windows_of(other), expected);
        }
        // The longest such interval: across its edges the windows differ.
        ASSERT_TRUE(expected.empty() || windows.windows_of(slice.start - 1) != expected);
        ASSERT_TRUE(expected.empty() || windows.windows_of(slice.end) != expected);
    }
}

}  // namespace
}  // namespace llmopt_stream
