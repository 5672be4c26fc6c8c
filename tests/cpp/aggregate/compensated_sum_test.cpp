#include "aggregate/compensated_sum.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <vector>

namespace llmopt_stream {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

CompensatedSum sum_of(const std::vector<double>& values) {
    CompensatedSum sum;
    std::uint64_t count = 0;
    for (const double value : values) {
        sum.add(value);
        if (++count % CompensatedSum::kNormalizeEvery == 0) {
            sum.normalize();
        }
    }
    return sum;
}

CompensatedSum squares_of(const std::vector<double>& values) {
    CompensatedSum sum;
    std::uint64_t count = 0;
    for (const double value : values) {
        sum.add(exact_square(value));
        if (++count % CompensatedSum::kNormalizeEvery == 0) {
            sum.normalize();
        }
    }
    return sum;
}

double stddev_of(const std::vector<double>& values) {
    const auto [min, max] = std::minmax_element(values.begin(), values.end());
    return standard_deviation(sum_of(values).value_parts(), squares_of(values).value_parts(), values.size(),
                              values.size(), *max - *min);
}

/// Two passes in 64-bit precision: the deviations are exact there, which is what counts.
double reference_stddev(const std::vector<double>& values) {
    long double mean = 0;
    for (const double value : values) {
        mean += (static_cast<long double>(value) - static_cast<long double>(values[0]));
    }
    mean /= static_cast<long double>(values.size());
    long double squares = 0;
    for (const double value : values) {
        const long double deviation =
            (static_cast<long double>(value) - static_cast<long double>(values[0])) - mean;
        squares += deviation * deviation;
    }
    return static_cast<double>(std::sqrt(squares / static_cast<long double>(values.size())));
}

TEST(DoubleDouble, TwoSumKeepsWhatRoundingLoses) {
    const DoubleDouble sum = two_sum(1.0, 0x1p-80);
    EXPECT_EQ(sum.hi, 1.0);
    EXPECT_EQ(sum.lo, 0x1p-80);
}

TEST(DoubleDouble, ASquareIsExactInTwoDoubles) {
    const DoubleDouble square = exact_square(1 + 0x1p-52);
    EXPECT_EQ(square.hi, 1 + 0x1p-51);
    EXPECT_EQ(square.lo, 0x1p-104);
}

TEST(DoubleDouble, SquaresNearAndBeyondOverflowHaveNoLowPartThatIsNotANumber) {
    EXPECT_EQ(exact_square(1.3e154).lo - exact_square(1.3e154).lo, 0.0);
    EXPECT_EQ(exact_square(1e200).hi, kInfinity);
    EXPECT_EQ(exact_square(1e200).lo, 0.0);
    EXPECT_EQ(exact_square(-std::numeric_limits<double>::max()).lo, 0.0);
}

TEST(DoubleDouble, DivisionAndMultiplicationInvertEachOtherToAHundredBits) {
    const DoubleDouble third = DoubleDouble{1.0, 0.0} / 3.0;
    const DoubleDouble one = third * DoubleDouble{3.0, 0.0};
    EXPECT_NEAR((one - DoubleDouble{1.0, 0.0}).hi, 0.0, 1e-31);
}

TEST(CompensatedSum, SmallTermsSurviveLargeOnesThatCancel) {
    EXPECT_EQ(sum_of({1e100, 1.0, -1e100}).value(), 1.0);
    EXPECT_EQ(sum_of({1e16, 1.0, 1.0, -1e16}).value(), 2.0);
}

TEST(CompensatedSum, ManyTenthsAreRoundedOnce) {
    EXPECT_EQ(sum_of(std::vector<double>(1'000'000, 0.1)).value(), 100000.00000000000555111512312578270);
}

TEST(CompensatedSum, OrderAndMergesChangeTheSumByLessThanTheLawAllows) {
    std::mt19937_64 random(7);
    std::lognormal_distribution<double> magnitude(0, 12);
    std::vector<double> values;
    double magnitudes = 0;
    for (int i = 0; i < 100'000; ++i) {
        values.push_back((random() % 2 == 0 ? 1 : -1) * magnitude(random));
        magnitudes += std::fabs(values.back());
    }
    const double forward = sum_of(values).value();
    std::shuffle(values.begin(), values.end(), random);
    EXPECT_NEAR(sum_of(values).value(), forward, 1e-16 * magnitudes);

    CompensatedSum merged = sum_of({values.begin(), values.begin() + 31'337});
    merged.merge(sum_of({values.begin() + 31'337, values.end()}));
    EXPECT_NEAR(merged.value(), forward, 1e-16 * magnitudes);
}

TEST(CompensatedSum, OverflowIsInfiniteAndStaysSo) {
    EXPECT_EQ(sum_of({1e308, 1e308}).value(), kInfinity);
    EXPECT_EQ(sum_of({1e308, 1e308, 1e308, -1e308}).value(), kInfinity);
    EXPECT_EQ(sum_of(std::vector<double>(200, -1e308)).value(), -kInfinity);

    CompensatedSum sum = sum_of({1e308, 1e308});
    sum.merge(sum_of({-1e308, -1e308}));
    EXPECT_EQ(sum.value(), kInfinity);
}

TEST(StandardDeviation, OfTenTwentyThirtyIsTheDocumentedOne) {
    EXPECT_EQ(stddev_of({10, 20, 30}), 8.16496580927726);
}

TEST(StandardDeviation, OfEqualValuesIsExactlyZero) {
    EXPECT_EQ(stddev_of(std::vector<double>(1'000'003, 0.1)), 0.0);
    EXPECT_EQ(stddev_of({1e300, 1e300, 1e300}), 0.0);
}

TEST(StandardDeviation, OfNeighbouringDoublesIsNotLostToCancellation) {
    const double next = std::nextafter(0.3, 1.0);
    EXPECT_NEAR(stddev_of({0.3, next}) / ((next - 0.3) / 2), 1.0, 1e-14);
}

TEST(StandardDeviation, AgreesWithTwoPassesWhereSumsOfSquaresInDoublesWouldFail) {
    std::mt19937_64 random(11);
    std::normal_distribution<double> normal(0, 1);
    struct Case {
        double mean;
        double stddev;
        double tolerance;
    };
    for (const Case& c : {Case{0, 1, 1e-14}, Case{1e3, 1, 1e-14}, Case{1e9, 1, 1e-11}, Case{1e15, 1e6, 1e-11},
                          Case{1.7e15, 6e7, 1e-12}, Case{-1e9, 1e-1, 1e-9},
                          // (mean / stddev)^2 is 1e24 here: beyond the law, still useful.
                          Case{1e9, 1e-3, 1e-4}}) {
        std::vector<double> values;
        for (int i = 0; i < 100'000; ++i) {
            values.push_back(c.mean + c.stddev * normal(random));
        }
        const double expected = reference_stddev(values);
        EXPECT_NEAR(stddev_of(values) / expected, 1.0, c.tolerance) << c.mean << " ± " << c.stddev;
        const double before = stddev_of(values);
        std::shuffle(values.begin(), values.end(), random);
        EXPECT_NEAR(stddev_of(values) / before, 1.0, std::max(c.tolerance, 1e-9))
            << c.mean << " ± " << c.stddev;
    }
}

TEST(StandardDeviation, IsInfiniteWhereSquaresOverflow) { EXPECT_EQ(stddev_of({1e200, 3e200}), kInfinity); }

TEST(StandardDeviation, OfTwoTinyValuesSurvivesUnderflowOfTheirSquares) {
    EXPECT_NEAR(stddev_of({1e-200, 3e-200}), 1e-200, 1e-210);
}

}  // namespace
}  // namespace llmopt_stream
