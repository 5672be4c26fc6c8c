#include "time/delay_histogram.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <vector>

#include "record/error.hpp"

namespace llmopt_stream {
namespace {

std::size_t bucket_with(const DelayHistogram& histogram) {
    for (std::size_t bucket = 0; bucket < DelayHistogram::kBuckets; ++bucket) {
        if (histogram.count(bucket) != 0) {
            return bucket;
        }
    }
    return DelayHistogram::kBuckets;
}

TEST(DelayHistogram, EveryDelayIsInItsBucketAndBucketsAreNarrow) {
    for (unsigned bits = 0; bits < 63; ++bits) {
        for (const Duration offset : {-1, 0, 1}) {
            const Duration delay = std::max<Duration>((Duration{1} << bits) + offset, 0);
            DelayHistogram histogram;
            histogram.add(delay);
            const std::size_t bucket = bucket_with(histogram);
            const std::uint64_t lower = DelayHistogram::lower_edge(bucket);
            const std::uint64_t upper = DelayHistogram::lower_edge(bucket + 1);
            EXPECT_LE(lower, static_cast<std::uint64_t>(delay));
            EXPECT_GT(upper, static_cast<std::uint64_t>(delay));
            EXPECT_TRUE(upper - lower == 1 || (upper - lower) * 32 <= lower) << delay;
        }
    }
    DelayHistogram longest;
    longest.add(std::numeric_limits<Duration>::max());
    EXPECT_LT(bucket_with(longest), DelayHistogram::kBuckets);
}

TEST(DelayHistogram, AColumnIsCountedLikeItsTimesOneByOne) {
    std::vector<Timestamp> times;
    std::vector<Timestamp> greatest;
    DelayHistogram one_by_one;
    constexpr Timestamp kGreatest = Timestamp{1} << 61;
    for (unsigned bits = 0; bits < 62; ++bits) {
        for (const Duration offset : {-1, 0, 1}) {
            const Duration delay = (Duration{1} << bits) + offset;
            times.push_back(kGreatest - delay);
            greatest.push_back(kGreatest);
            if (delay > 0) {
                one_by_one.add(delay);
            }
        }
    }
    // Not behind, nothing to compare with, and further behind than a delay can say.
    times.insert(times.end(), {kGreatest + 5, kGreatest, kMinTimestamp});
    greatest.insert(greatest.end(), {kGreatest, kMinTimestamp, kMaxTimestamp});
    one_by_one.add(std::numeric_limits<Duration>::max());
    DelayHistogram together;
    together.add(0);
    one_by_one.add(0);
    together.add_all(times, greatest);
    for (std::size_t bucket = 0; bucket < DelayHistogram::kBuckets; ++bucket) {
        EXPECT_EQ(together.count(bucket), one_by_one.count(bucket)) << DelayHistogram::lower_edge(bucket);
    }
}

TEST(DelayHistogram, DecodeRestoresWhatEncodeWrote) {
    DelayHistogram histogram;
    for (const Duration delay : {0, 5, 5, 1'000'000}) {
        histogram.add(delay);
    }
    ByteWriter out;
    histogram.encode(out);
    DelayHistogram restored;
    ByteReader in(out.bytes());
    restored.decode(in);
    EXPECT_EQ(restored.count(5), 2U);
    ByteWriter again;
    restored.encode(again);
    EXPECT_EQ(again.bytes(), out.bytes());
}

}  // namespace
}  // namespace llmopt_stream
