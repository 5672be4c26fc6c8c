#include "aggregate/quantile_sketch.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <functional>
#include <limits>
#include <random>
#include <string>
#include <utility>
#include <vector>

namespace llmopt_stream {
namespace {

class QuantileSketchTest : public testing::Test {
protected:
    QuantileSketch of(const std::vector<double>& values) {
        QuantileSketch sketch;
        for (const double value : values) {
            sketch.add(value, pool);
        }
        return sketch;
    }
    static double percentile_of(const QuantileSketch& sketch, double percent,
                                const std::vector<double>& values) {
        const auto [min, max] = std::minmax_element(values.begin(), values.end());
        return sketch.percentile(percent, *min, *max);
    }
    static std::string bytes(const QuantileSketch& sketch) {
        ByteWriter out;
        sketch.encode(out);
        return out.take();
    }

    SizeClassPool pool;
};

TEST(NearestRank, IsTheCeilingOfTheExactProduct) {
    EXPECT_EQ(nearest_rank(50, 5), 3U);
    EXPECT_EQ(nearest_rank(95, 5), 5U);
    EXPECT_EQ(nearest_rank(99, 5), 5U);
    EXPECT_EQ(nearest_rank(99.9, 1000), 999U);
    EXPECT_EQ(nearest_rank(99.9, 1001), 1000U);
    EXPECT_EQ(nearest_rank(0.1, 1000), 1U);
    EXPECT_EQ(nearest_rank(7, 100), 7U);  // 0.07 * 100 is above 7 in doubles
    EXPECT_EQ(nearest_rank(0, 10), 1U);
    EXPECT_EQ(nearest_rank(100, 10), 10U);
    EXPECT_EQ(nearest_rank(100, std::uint64_t{1} << 62), std::uint64_t{1} << 62);
    EXPECT_EQ(nearest_rank(1e-9, 1), 1U);
}

TEST_F(QuantileSketchTest, TenToFiftyGiveTheDocumentedPercentiles) {
    const QuantileSketch sketch = of({30, 10, 50, 20, 40});
    const std::array<double, 5> percents = {50, 95, 99, 0, 100};
    std::array<double, 5> results{};
    sketch.percentiles(percents, 10, 50, results);
    EXPECT_EQ(results, (std::array<double, 5>{30, 50, 50, 10, 50}));
    EXPECT_EQ(sketch.error(), 0.0);
}

TEST_F(QuantileSketchTest, SixtyFourValuesAreExactAndSixtyFiveAreNot) {
    QuantileSketch sketch;
    std::vector<double> values;
    for (int i = 1; i <= 64; ++i) {
        values.push_back(1000.0 + i / 7.0);
        sketch.add(values.back(), pool);
    }
    EXPECT_EQ(sketch.count(), 64U);
    EXPECT_EQ(sketch.error(), 0.0);
    EXPECT_EQ(percentile_of(sketch, 50, values), values[31]);
    values.push_back(1000.0 + 65 / 7.0);
    sketch.add(values.back(), pool);
    EXPECT_EQ(sketch.count(), 65U);
    EXPECT_GT(sketch.error(), 0.0);
    EXPECT_LT(sketch.error(), 0.01);
    EXPECT_NEAR(percentile_of(sketch, 50, values), values[32], 10);
    EXPECT_EQ(percentile_of(sketch, 0, values), values[0]);
    EXPECT_EQ(percentile_of(sketch, 100, values), values[64]);
}

TEST_F(QuantileSketchTest, EqualValuesAreAnsweredExactlyBeyondSixtyFourToo) {
    EXPECT_EQ(of(std::vector<double>(1000, 123.456)).percentile(50, 123.456, 123.456), 123.456);
}

TEST_F(QuantileSketchTest, MorePercentilesThanOneWalkTakesComeOutInTheirOrder) {
    std::vector<double> values;
    std::vector<double> percents;
    for (int i = 1; i <= 1000; ++i) {
        values.push_back(i);
    }
    for (int i = 0; i <= 40; ++i) {
        percents.push_back((i * 37) % 41 * 2.5);
    }
    const QuantileSketch sketch = of(values);
    std::vector<double> results(percents.size());
    sketch.percentiles(percents, 1, 1000, results);
    for (std::size_t i = 0; i < percents.size(); ++i) {
        EXPECT_EQ(results[i], sketch.percentile(percents[i], 1, 1000));
        EXPECT_NEAR(results[i], std::max(1.0, 10 * percents[i]), 0.1 * percents[i]);
    }
}

TEST_F(QuantileSketchTest, TheRelativeErrorStaysWithinItsBoundForAllShapesAndSizes) {
    std::mt19937_64 random(17);
    std::lognormal_distribution<double> lognormal(5, 1);
    std::uniform_real_distribution<double> uniform(0, 1);
    std::normal_distribution<double> normal(0, 1);
    const std::vector<std::pair<const char*, std::function<double(int)>>> shapes = {
        {"lognormal", [&](int) { return lognormal(random); }},
        {"Pareto", [&](int) { return std::pow(1 - uniform(random), -1 / 1.1); }},
        {"constant", [&](int) { return 42.5; }},
        {"ascending", [&](int i) { return 1.0 + i; }},
        {"descending", [&](int i) { return 2e6 - i; }},
        {"bimodal", [&](int i) { return i % 2 == 0 ? 10 + normal(random) : 1e4 + 100 * normal(random); }},
        {"negative", [&](int) { return -lognormal(random); }},
        {"both signs", [&](int) { return 100 * normal(random); }},
        {"mostly zero", [&](int i) { return i % 10 == 0 ? lognormal(random) : 0.0; }},
        {"58 octaves", [&](int) { return std::exp2(58 * uniform(random)); }},
        {"subnormal", [&](int) { return 1e-310 * (1 + uniform(random)); }},
    };
    for (const auto& [name, draw] : shapes) {
        for (const int size : {1, 2, 3, 63, 64, 65, 66, 100, 1000, 10'000, 100'000, 1'000'000}) {
            std::vector<double> values;
            for (int i = 0; i < size; ++i) {
                values.push_back(draw(i));
            }
            QuantileSketch sketch = of(values);
            ASSERT_EQ(sketch.count(), values.size());
            std::sort(values.begin(), values.end());
            // Collapses are due only to values that span more than 22 octaves.
            if (std::string(name) != "58 octaves" && std::string(name) != "both signs") {
                ASSERT_LT(sketch.error(), 0.0201) << name << ' ' << size;
            }
            for (const double percent :
                 {0.0, 0.1, 1.0, 5.0, 25.0, 50.0, 75.0, 90.0, 95.0, 99.0, 99.9, 100.0}) {
                const double exact = values[nearest_rank(percent, values.size()) - 1];
                const double answer = sketch.percentile(percent, values.front(), values.back());
                ASSERT_LE(std::fabs(answer - exact), std::fabs(exact) * sketch.error() * (1 + 1e-9))
                    << name << ' ' << size << " p" << percent;
            }
            sketch.destroy(pool);
        }
    }
    EXPECT_EQ(pool.allocated_bytes(), 0U);
}

TEST_F(QuantileSketchTest, AnySplitAndOrderOfMergesGivesTheSameBytes) {
    std::mt19937_64 random(23);
    std::lognormal_distribution<double> lognormal(0, 3);
    for (const std::size_t size : {65U, 130U, 1000U}) {
        std::vector<double> values;
        for (std::size_t i = 0; i < size; ++i) {
            values.push_back(lognormal(random) * (random() % 3 == 0 ? -1 : 1));
        }
        const std::string expected = bytes(of(values));
        for (int round = 0; round < 20; ++round) {
            std::shuffle(values.begin(), values.end(), random);
            QuantileSketch merged;
            for (std::size_t begin = 0; begin < size;) {
                const std::size_t part = std::min<std::size_t>(1 + random() % 150, size - begin);
                QuantileSketch sketch = of({values.begin() + static_cast<std::ptrdiff_t>(begin),
                                            values.begin() + static_cast<std::ptrdiff_t>(begin + part)});
                if (random() % 2 == 0) {
                    std::swap(sketch, merged);
                }
                merged.merge(sketch, pool);
                sketch.destroy(pool);
                begin += part;
            }
            ASSERT_EQ(bytes(merged), expected);
            merged.destroy(pool);
        }
    }
}

TEST_F(QuantileSketchTest, ExactSketchesMergeToAnExactOneUpToSixtyFourValues) {
    QuantileSketch left = of(std::vector<double>(40, 1.0));
    left.merge(of(std::vector<double>(24, 2.0)), pool);
    EXPECT_EQ(left.error(), 0.0);
    EXPECT_EQ(left.percentile(62.5, 1, 2), 1.0);
    EXPECT_EQ(left.percentile(63, 1, 2), 2.0);
    left.merge(of({3.0}), pool);
    EXPECT_GT(left.error(), 0.0);
    EXPECT_EQ(left.count(), 65U);
}

TEST_F(QuantileSketchTest, DecodingRestoresEveryState) {
    for (const int size : {0, 1, 3, 4, 64, 65, 1000}) {
        std::vector<double> values;
        for (int i = 0; i < size; ++i) {
            values.push_back(i * 1.25 - 20);
        }
        const std::string encoded = bytes(of(values));
        ByteReader in(encoded);
        QuantileSketch restored = QuantileSketch::decode(in, pool);
        EXPECT_EQ(in.remaining(), 0U);
        EXPECT_EQ(bytes(restored), encoded);
        EXPECT_EQ(restored.count(), values.size());
        restored.add(7, pool);
        values.push_back(7);
        EXPECT_EQ(bytes(restored), bytes(of(values)));
    }
}

TEST_F(QuantileSketchTest, CorruptBytesThrowAndLeakNothing) {
    std::mt19937_64 random(29);
    for (const std::string& encoded : {bytes(of({1, 2, 3})), bytes(of(std::vector<double>(100, 5.0)))}) {
        const std::size_t before = pool.allocated_bytes();
        for (int round = 0; round < 10'000; ++round) {
            std::string damaged = encoded;
            damaged[random() % damaged.size()] = static_cast<char>(random());
            damaged.resize(random() % 4 == 0 ? random() % damaged.size() : damaged.size());
            try {
                ByteReader in(damaged);
                QuantileSketch sketch = QuantileSketch::decode(in, pool);
                sketch.add(1.0, pool);
                sketch.destroy(pool);
            } catch (const Error& error) {
                EXPECT_EQ(error.kind(), ErrorKind::kCheckpoint);
            }
            ASSERT_EQ(pool.allocated_bytes(), before);
        }
    }
}

}  // namespace
}  // namespace llmopt_stream
