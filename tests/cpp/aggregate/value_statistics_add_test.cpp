#include "aggregate/value_statistics_add.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <limits>
#include <random>
#include <vector>

#include "aggregate/compensated_sum.hpp"
#include "aggregate/value_statistics.hpp"

namespace llmopt_stream {
namespace {

constexpr std::size_t kKeys = 5;
constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

/// Values of all magnitudes, with what cannot be taken, what has no exact square and what overflows.
std::vector<double> make_values(std::uint64_t seed, bool overflows) {
    std::mt19937_64 random(seed);
    std::lognormal_distribution<double> usual(3, 2);
    const std::array special = {0.0, -0.0, kNaN, kInfinity, -kInfinity, 5e-324, -1e-310, 1e160, -3e155};
    std::vector<double> values(3000);
    for (double& value : values) {
        const std::uint64_t choice = random() % 40;
        value = choice < special.size() ? special.at(choice) : std::copysign(usual(random), choice % 3 - 1.0);
        if (!overflows && std::fabs(value) > 1e100) {
            value = 1e15;
        }
    }
    return values;
}

struct Filled {
    std::vector<std::uint64_t> words;
    std::uint64_t skipped = 0;
};

/// Record i goes to key i * i mod kKeys.
Filled fill(const ValueStatistics& metric, ValueParts parts, Registers registers,
            const std::vector<double>& values, SizeClassPool& pool) {
    const std::size_t state_words = metric.state_bytes() / 8;
    Filled filled{std::vector<std::uint64_t>(state_words * kKeys)};
    std::vector<std::byte*> rows;
    for (std::size_t key = 0; key < kKeys; ++key) {
        metric.create(reinterpret_cast<std::byte*>(filled.words.data() + key * state_words));
    }
    for (std::size_t i = 0; i < values.size(); ++i) {
        rows.push_back(reinterpret_cast<std::byte*>(filled.words.data() + i * i % kKeys * state_words));
    }
    ValueColumn column;
    column.float64 = values;
    filled.skipped = add_values_function(FieldType::kFloat64, parts, registers)(rows, 0, column, 0, pool);
    return filled;
}

class AddValues : public testing::TestWithParam<bool> {};

TEST_P(AddValues, TheWidthOfRegistersChangesNoBit) {
    const std::vector<double> values = make_values(7, GetParam());
    const ValueStatistics metric(
        0, FieldType::kFloat64,
        {{AggregationKind::kStddev, 0, "stddev"}, {AggregationKind::kPercentile, 95, "p95"}});
    const ValueParts parts{true, true, true, true};
    SizeClassPool pool;
    const Filled narrow = fill(metric, parts, Registers::kNarrow, values, pool);
    const Filled wide = fill(metric, parts, widest_registers(), values, pool);
    EXPECT_EQ(narrow.skipped, wide.skipped);
    for (std::size_t key = 0; key < kKeys; ++key) {
        const std::size_t at = key * metric.state_bytes() / 8;
        ByteWriter first;
        ByteWriter second;
        metric.encode(reinterpret_cast<const std::byte*>(narrow.words.data() + at), first);
        metric.encode(reinterpret_cast<const std::byte*>(wide.words.data() + at), second);
        EXPECT_EQ(first.bytes(), second.bytes()) << key;
    }
}

TEST_P(AddValues, SumsHaveTheBitsOfCompensatedSum) {
    const std::vector<double> values = make_values(11, GetParam());
    const ValueStatistics metric(0, FieldType::kFloat64, {{AggregationKind::kStddev, 0, "stddev"}});
    const ValueLayout layout(ValueParts{true, true, true, false}, FieldType::kFloat64);
    std::array<CompensatedSum, kKeys> sums;
    std::array<CompensatedSum, kKeys> squares;
    std::array<std::uint64_t, kKeys> counts{};
    for (std::size_t i = 0; i < values.size(); ++i) {
        const std::size_t key = i * i % kKeys;
        if (!std::isfinite(values[i])) {
            continue;
        }
        sums.at(key).add(values[i] + 0.0);
        squares.at(key).add(exact_square(values[i]));
        if (++counts.at(key) % CompensatedSum::kNormalizeEvery == 0) {
            sums.at(key).normalize();
            squares.at(key).normalize();
        }
    }
    for (const Registers registers : {Registers::kNarrow, widest_registers()}) {
        SizeClassPool pool;
        const Filled filled = fill(metric, {true, true, true, false}, registers, values, pool);
        for (const std::size_t key : {0U, 1U, 4U}) {
            const auto* const state =
                reinterpret_cast<const std::byte*>(filled.words.data() + key * metric.state_bytes() / 8);
            const auto same = [](DoubleDouble a, DoubleDouble b) {
                // Beside an infinite sum the low part means nothing, not even which NaN it is.
                return std::bit_cast<std::uint64_t>(a.hi) == std::bit_cast<std::uint64_t>(b.hi) &&
                       (std::bit_cast<std::uint64_t>(a.lo) == std::bit_cast<std::uint64_t>(b.lo) ||
                        std::isinf(a.hi));
            };
            EXPECT_EQ(metric.count(state), counts.at(key));
            EXPECT_TRUE(same(layout.load_sum(state + layout.sum).raw_parts(), sums.at(key).raw_parts()));
            EXPECT_TRUE(
                same(layout.load_sum(state + layout.squares).raw_parts(), squares.at(key).raw_parts()));
        }
    }
}

INSTANTIATE_TEST_SUITE_P(Values, AddValues, testing::Bool());

}  // namespace
}  // namespace llmopt_stream
