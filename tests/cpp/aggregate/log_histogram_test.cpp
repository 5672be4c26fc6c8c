#include "aggregate/log_histogram.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <random>
#include <string>
#include <vector>

namespace llmopt_stream {
namespace {

using Bucket = LogHistogram::Bucket;

class LogHistogramTest : public testing::Test {
protected:
    LogHistogram of(const std::vector<double>& values) {
        LogHistogram histogram;
        for (const double value : values) {
            add(histogram, value);
        }
        return histogram;
    }
    void add(LogHistogram& histogram, double value) {
        const Bucket bucket = LogHistogram::bucket_of(value);
        if (histogram.block() == nullptr || !histogram.try_add(bucket)) {
            histogram.add({&bucket, 1}, pool);
        }
    }
    LogHistogram all_at_once(const std::vector<double>& values) {
        std::vector<Bucket> buckets;
        for (const double value : values) {
            buckets.push_back(LogHistogram::bucket_of(value));
        }
        LogHistogram histogram;
        histogram.add(buckets, pool);
        return histogram;
    }
    static std::string bytes(const LogHistogram& histogram) {
        ByteWriter out;
        histogram.encode(out);
        return out.take();
    }
    static double value_at(const LogHistogram& histogram, std::uint64_t rank) {
        double value = 0;
        histogram.values({&rank, 1}, {&value, 1});
        return value;
    }

    SizeClassPool pool;
};

TEST(LogHistogramBucket, AnOctaveHasThirtyFiveBuckets) {
    EXPECT_EQ(LogHistogram::bucket_of(1.0), 0);
    EXPECT_EQ(LogHistogram::bucket_of(2.0), 35 * 2);
    EXPECT_EQ(LogHistogram::bucket_of(0.5), -35 * 2);
    EXPECT_EQ(LogHistogram::bucket_of(std::nextafter(1.0, 0.0)), -1 * 2);
    EXPECT_EQ(LogHistogram::bucket_of(1.99), 34 * 2);
}

TEST(LogHistogramBucket, NegativeValuesHaveTheOddBuckets) {
    EXPECT_EQ(LogHistogram::bucket_of(-1.5), LogHistogram::bucket_of(1.5) + 1);
}

TEST(LogHistogramBucket, SubnormalsContinueTheOctaves) {
    EXPECT_EQ(LogHistogram::bucket_of(std::numeric_limits<double>::min()), -1022 * 35 * 2);
    EXPECT_EQ(LogHistogram::bucket_of(std::numeric_limits<double>::min() / 2), -1023 * 35 * 2);
    EXPECT_EQ(LogHistogram::bucket_of(std::numeric_limits<double>::denorm_min()), -1074 * 35 * 2);
    EXPECT_EQ(LogHistogram::bucket_of(-std::numeric_limits<double>::denorm_min()), -1074 * 35 * 2 + 1);
}

TEST(LogHistogramBucket, BucketsGrowWithTheValue) {
    Bucket last = LogHistogram::bucket_of(1e-320);
    for (double value = 1e-320; value < 1e300; value *= 1.0003) {
        const Bucket bucket = LogHistogram::bucket_of(value);
        ASSERT_GE(bucket, last) << value;
        last = bucket;
    }
}

TEST_F(LogHistogramTest, EveryValueIsWithinOnePercentOfWhatStandsForIt) {
    std::mt19937_64 random(3);
    std::uniform_real_distribution<double> exponent(-300, 300);
    for (int i = 0; i < 20'000; ++i) {
        const double value = std::pow(10.0, exponent(random)) * (i % 2 == 0 ? 1 : -1);
        LogHistogram histogram = of({value});
        ASSERT_NEAR(value_at(histogram, 1) / value, 1.0, histogram.error() * (1 + 1e-9)) << value;
        histogram.destroy(pool);
    }
    EXPECT_LT(LogHistogram().error(), 0.01);
    EXPECT_EQ(pool.allocated_bytes(), 0U);
}

TEST_F(LogHistogramTest, ValuesCountFromTheMostNegativeOverZeroToTheGreatest) {
    const LogHistogram histogram = of({5, 0, -3, 0, 700, -0.01});
    ASSERT_EQ(histogram.count(), 6U);
    EXPECT_NEAR(value_at(histogram, 1), -3, 0.03);
    EXPECT_NEAR(value_at(histogram, 2), -0.01, 0.0001);
    EXPECT_EQ(value_at(histogram, 3), 0.0);
    EXPECT_EQ(value_at(histogram, 4), 0.0);
    EXPECT_NEAR(value_at(histogram, 5), 5, 0.05);
    EXPECT_NEAR(value_at(histogram, 6), 700, 7);
}

TEST_F(LogHistogramTest, SevenHundredSixtyEightBucketsFitAndOneMoreCollapses) {
    const double last = std::ldexp(1.9, 21);
    const double beyond = std::ldexp(1.94, 21);
    ASSERT_EQ(LogHistogram::bucket_of(last), 767 * 2);
    ASSERT_EQ(LogHistogram::bucket_of(beyond), 768 * 2);
    LogHistogram histogram = of({1.0, last});
    EXPECT_EQ(histogram.level(), 0);
    add(histogram, beyond);
    EXPECT_EQ(histogram.level(), 1);
    EXPECT_LT(histogram.error(), 0.02);
    EXPECT_EQ(histogram.count(), 3U);
}

TEST_F(LogHistogramTest, EachSignHasBucketsForItsOwnSpan) {
    EXPECT_EQ(of({1.0, 1e6, -1.0, -1e6}).level(), 0);
    EXPECT_EQ(of({1.0, 2.0, -1.0, -1e7}).level(), 1);
}

TEST_F(LogHistogramTest, AllFiniteDoublesFitAtLevelSeven) {
    const double tiny = std::numeric_limits<double>::denorm_min();
    const double huge = std::numeric_limits<double>::max();
    const LogHistogram histogram = of({tiny, huge, -tiny, -huge, 0});
    EXPECT_EQ(histogram.level(), 7);
    EXPECT_EQ(histogram.count(), 5U);
    EXPECT_TRUE(std::isfinite(value_at(histogram, 1)));
    EXPECT_TRUE(std::isfinite(value_at(histogram, 5)));
}

TEST_F(LogHistogramTest, CountersWidenAtSixteenBits) {
    LogHistogram histogram;
    for (int i = 0; i < 65'535; ++i) {
        add(histogram, 1.5);
    }
    add(histogram, 3.0);
    EXPECT_EQ(bytes(histogram)[0], 2);
    add(histogram, 1.5);
    EXPECT_EQ(bytes(histogram)[0], 4);
    EXPECT_EQ(histogram.count(), 65'537U);
    EXPECT_NEAR(value_at(histogram, 65'536), 1.5, 0.015);
    EXPECT_NEAR(value_at(histogram, 65'537), 3.0, 0.03);
}

TEST_F(LogHistogramTest, CountersWidenWhenAMergeOrACollapseOverflowsThem) {
    LogHistogram left;
    LogHistogram right;
    for (int i = 0; i < 40'000; ++i) {
        add(left, 1.0);
        add(right, 1.0);
    }
    left.merge(right, pool);
    EXPECT_EQ(bytes(left)[0], 4);
    EXPECT_EQ(left.count(), 80'000U);

    LogHistogram neighbours;  // buckets 0 and 1 become one at level 1
    for (int i = 0; i < 40'000; ++i) {
        add(neighbours, 1.0);
        add(neighbours, 1.03);
    }
    EXPECT_EQ(bytes(neighbours)[0], 2);
    add(neighbours, 1e9);
    EXPECT_EQ(neighbours.level(), 1);
    EXPECT_EQ(bytes(neighbours)[0], 4);
    EXPECT_EQ(neighbours.count(), 80'001U);
}

TEST_F(LogHistogramTest, CountersWidenToSixtyFourBitsByMerging) {
    LogHistogram histogram = of({2.5, -7.0, 0});
    for (int doubling = 0; doubling < 33; ++doubling) {
        LogHistogram copy;
        copy.merge(histogram, pool);
        histogram.merge(copy, pool);
        copy.destroy(pool);
    }
    EXPECT_EQ(bytes(histogram)[0], 8);
    EXPECT_EQ(histogram.count(), 3ULL << 33);
    add(histogram, 2.5);
    EXPECT_EQ(histogram.count(), (3ULL << 33) + 1);
}

TEST_F(LogHistogramTest, TheStateIsAFunctionOfTheMultiset) {
    std::mt19937_64 random(5);
    for (const double sigma : {0.0, 1.0, 4.0, 30.0}) {
        std::lognormal_distribution<double> magnitude(0, sigma);
        std::vector<double> values;
        for (int i = 0; i < 4000; ++i) {
            const auto kind = random() % 10;
            values.push_back(kind == 0 ? 0.0 : (kind < 4 ? -1 : 1) * magnitude(random));
        }
        const std::string expected = bytes(all_at_once(values));
        for (int round = 0; round < 6; ++round) {
            std::shuffle(values.begin(), values.end(), random);
            ASSERT_EQ(bytes(of(values)), expected) << sigma;

            std::vector<LogHistogram> parts;
            for (std::size_t begin = 0; begin < values.size();) {
                const std::size_t size = std::min<std::size_t>(1 + random() % 1500, values.size() - begin);
                parts.push_back(of({values.begin() + static_cast<std::ptrdiff_t>(begin),
                                    values.begin() + static_cast<std::ptrdiff_t>(begin + size)}));
                begin += size;
            }
            while (parts.size() > 1) {
                const std::size_t from = random() % parts.size();
                LogHistogram part = parts[from];
                parts.erase(parts.begin() + static_cast<std::ptrdiff_t>(from));
                parts[random() % parts.size()].merge(part, pool);
                part.destroy(pool);
            }
            ASSERT_EQ(bytes(parts[0]), expected) << sigma;
        }
    }
}

TEST_F(LogHistogramTest, DecodingRestoresAndGoesOnAlike) {
    LogHistogram histogram = of({1, 2, 3, -4, 0, 1e5});
    const std::string encoded = bytes(histogram);
    ByteReader in(encoded);
    LogHistogram restored = LogHistogram::decode(in, pool);
    EXPECT_EQ(in.remaining(), 0U);
    EXPECT_EQ(bytes(restored), encoded);
    add(histogram, -1e9);
    add(restored, -1e9);
    EXPECT_EQ(bytes(restored), bytes(histogram));
}

TEST_F(LogHistogramTest, CorruptBytesThrowAndLeakNothing) {
    std::mt19937_64 random(9);
    const std::string encoded = bytes(of({1, 2, 3, -4, 0, 1e5, 1e-30}));
    const std::size_t before = pool.allocated_bytes();
    for (int round = 0; round < 20'000; ++round) {
        std::string damaged = encoded;
        for (std::uint64_t i = 0; i <= random() % 3; ++i) {
            damaged[random() % std::min<std::size_t>(damaged.size(), 40)] = static_cast<char>(random());
        }
        damaged.resize(random() % 4 == 0 ? random() % damaged.size() : damaged.size());
        try {
            ByteReader in(damaged);
            LogHistogram histogram = LogHistogram::decode(in, pool);
            // Bytes that happen to be those of another histogram must give that one.
            EXPECT_EQ(bytes(histogram), damaged.substr(0, damaged.size() - in.remaining()));
            EXPECT_TRUE(std::isfinite(value_at(histogram, histogram.count())));
            histogram.destroy(pool);
        } catch (const Error& error) {
            EXPECT_EQ(error.kind(), ErrorKind::kCheckpoint);
        }
        ASSERT_EQ(pool.allocated_bytes(), before);
    }
}

/// Whether a value lies in a bucket, whose closed end is the one nearer to zero.
bool is_in(double value, const HistogramBucket& bucket) {
    const double lower = bucket.lower.value_or(-std::numeric_limits<double>::infinity());
    const double upper = bucket.upper.value_or(std::numeric_limits<double>::infinity());
    return value == 0  ? lower == 0 && upper == 0
           : value > 0 ? lower <= value && value < upper
                       : lower < value && value <= upper;
}

TEST_F(LogHistogramTest, ABucketHasTheValuesBetweenItsBounds) {
    std::mt19937_64 random(21);
    std::vector<double> values = {0.0,
                                  1.0,
                                  -1.0,
                                  2.0,
                                  std::numeric_limits<double>::denorm_min(),
                                  std::numeric_limits<double>::min(),
                                  std::numeric_limits<double>::max()};
    while (values.size() < 20'000) {
        const auto value = std::bit_cast<double>(random());
        if (std::isfinite(value)) {
            values.push_back(value);
            // A bound, and what is just below it.
            const HistogramBucket bucket = of({std::fabs(value)}).buckets(LogHistogram::kMaxBuckets).front();
            values.push_back(*bucket.lower);
            values.push_back(std::nextafter(*bucket.lower, 0.0));
        }
    }
    for (const double value : values) {
        const std::vector<HistogramBucket> buckets = of({value}).buckets(LogHistogram::kMaxBuckets);
        ASSERT_EQ(buckets.size(), 1U);
        ASSERT_EQ(buckets.front().count, 1U);
        ASSERT_TRUE(is_in(value, buckets.front())) << value;
    }
}

TEST_F(LogHistogramTest, BucketsAscendAndCountEveryValueHoweverFewTheyAre) {
    std::mt19937_64 random(22);
    std::lognormal_distribution<double> lognormal(0, 3);
    std::vector<double> values;
    for (int i = 0; i < 5'000; ++i) {
        values.push_back(i % 7 == 0 ? 0 : lognormal(random) * (i % 3 == 0 ? -1 : 1));
    }
    const LogHistogram histogram = of(values);
    for (const int most : {2, 5, 100, 768}) {
        const std::vector<HistogramBucket> buckets = histogram.buckets(most);
        ASSERT_LE(buckets.size(), 2 * static_cast<std::size_t>(most) + 1);
        for (std::size_t at = 0; at < buckets.size(); ++at) {
            const auto counted = static_cast<std::uint64_t>(std::count_if(
                values.begin(), values.end(), [&](double value) { return is_in(value, buckets[at]); }));
            ASSERT_EQ(buckets[at].count, counted);
            ASSERT_GT(counted, 0U);
            if (at != 0) {
                ASSERT_LE(*buckets[at - 1].upper, *buckets[at].lower);
            }
        }
    }
    EXPECT_TRUE(LogHistogram().buckets(768).empty());
}

}  // namespace
}  // namespace llmopt_stream
