#include "aggregate/space_saving.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "record/key.hpp"

namespace llmopt_stream {
namespace {

std::string label(std::int64_t value) {
    std::string encoded;
    key_encoding::append_int(encoded, value);
    return encoded;
}

class Summary {
public:
    explicit Summary(std::size_t capacity, const std::vector<std::int64_t>& values = {})
        : capacity_(capacity) {
        for (const std::int64_t value : values) {
            add(value);
        }
    }
    ~Summary() { summary_.destroy(pool_); }
    Summary(const Summary&) = delete;
    Summary& operator=(const Summary&) = delete;

    void add(std::int64_t value) {
        const std::string encoded = label(value);
        summary_.add(encoded, hash_key(encoded), capacity_, pool_);
    }
    void merge(const Summary& other) { summary_.merge(other.summary_, capacity_, pool_); }
    [[nodiscard]] const SpaceSaving& get() const { return summary_; }
    [[nodiscard]] std::string encoded() const {
        ByteWriter out;
        summary_.encode(out);
        return out.take();
    }
    [[nodiscard]] std::size_t allocated_bytes() const { return pool_.allocated_bytes(); }

private:
    std::size_t capacity_;
    SizeClassPool pool_;
    SpaceSaving summary_;
};

void expect_guarantee(const SpaceSaving& summary, const std::vector<std::int64_t>& values,
                      std::size_t capacity) {
    std::map<std::string, std::uint64_t> counts;
    for (const std::int64_t value : values) {
        ++counts[label(value)];
    }
    ASSERT_EQ(summary.total(), values.size());
    ASSERT_LE(summary.floor() * (capacity + 1), values.size());
    for (const SpaceSaving::Count& each : summary.top(values.size())) {
        const std::uint64_t count = counts.at(std::string(each.value));
        ASSERT_LE(count, each.count);
        ASSERT_GE(count, each.count - each.error);
        ASSERT_LE(each.error, summary.floor());
        counts.erase(std::string(each.value));
    }
    for (const auto& [value, count] : counts) {
        ASSERT_LE(count, summary.floor());
    }
}

std::vector<std::int64_t> zipf_values(std::size_t size, double exponent, std::mt19937_64& random) {
    std::vector<double> weights;
    for (int rank = 1; rank <= 5'000; ++rank) {
        weights.push_back(std::pow(rank, -exponent));
    }
    std::discrete_distribution<std::int64_t> zipf(weights.begin(), weights.end());
    std::vector<std::int64_t> values(size);
    std::generate(values.begin(), values.end(), [&] { return zipf(random); });
    return values;
}

TEST(SpaceSaving, UpToTwiceTheCapacityCountsAreExactInAnyOrder) {
    std::mt19937_64 random(1);
    std::vector<std::int64_t> values;
    for (std::int64_t value = 0; value < 20; ++value) {
        values.insert(values.end(), static_cast<std::size_t>(value + 1), value);
    }
    const std::string expected = Summary(10, values).encoded();
    for (int round = 0; round < 5; ++round) {
        std::shuffle(values.begin(), values.end(), random);
        Summary parts[2] = {Summary(10), Summary(10)};
        for (const std::int64_t value : values) {
            parts[random() % 2].add(value);
        }
        parts[1].merge(parts[0]);
        EXPECT_EQ(parts[1].encoded(), expected);
    }
    const Summary summary(10, values);
    EXPECT_EQ(summary.get().floor(), 0U);
    const std::vector<SpaceSaving::Count> top = summary.get().top(2);
    ASSERT_EQ(top.size(), 2U);
    EXPECT_EQ(top[0].value, label(19));
    EXPECT_EQ(top[0].count, 20U);
    EXPECT_EQ(top[0].error, 0U);
    EXPECT_EQ(top[1].count, 19U);
}

TEST(SpaceSaving, EqualCountsComeInTheOrderOfValues) {
    const Summary summary(5, {7, -3, 2, 2, -3, 7, 100});
    std::vector<std::string> order;
    for (const SpaceSaving::Count& each : summary.get().top(10)) {
        order.emplace_back(each.value);
    }
    EXPECT_EQ(order, (std::vector{label(-3), label(2), label(7), label(100)}));
}

TEST(SpaceSaving, TheGuaranteeHoldsForAnyDistributionAndOrder) {
    std::mt19937_64 random(2);
    for (const std::size_t capacity : {1U, 3U, 20U, 100U}) {
        for (const double exponent : {0.0, 0.8, 1.5}) {
            for (const std::size_t size : {1U, 10U, 64U, 1'000U, 30'000U}) {
                std::vector<std::int64_t> values = zipf_values(size, exponent, random);
                expect_guarantee(Summary(capacity, values).get(), values, capacity);
                std::sort(values.begin(), values.end());
                expect_guarantee(Summary(capacity, values).get(), values, capacity);
                std::reverse(values.begin(), values.end());
                expect_guarantee(Summary(capacity, values).get(), values, capacity);
            }
        }
    }
}

TEST(SpaceSaving, TheGuaranteeHoldsForMergedSummariesHoweverTheyAreMerged) {
    std::mt19937_64 random(3);
    for (const std::size_t capacity : {2U, 10U, 50U}) {
        for (const bool as_tree : {false, true}) {
            const std::vector<std::int64_t> values = zipf_values(20'000, 1.1, random);
            std::vector<std::unique_ptr<Summary>> parts;
            for (int part = 0; part < 16; ++part) {
                parts.push_back(std::make_unique<Summary>(capacity));
            }
            for (std::size_t at = 0; at < values.size(); ++at) {
                parts[as_tree ? at * parts.size() / values.size() : random() % parts.size()]->add(values[at]);
            }
            while (parts.size() > 1) {
                std::vector<std::unique_ptr<Summary>> merged;
                for (std::size_t at = 0; at < parts.size(); ++at) {
                    if (merged.empty() || (as_tree && at % 2 == 0)) {
                        merged.push_back(std::move(parts[at]));
                    } else {
                        merged.back()->merge(*parts[at]);
                    }
                }
                parts = std::move(merged);
            }
            expect_guarantee(parts.front()->get(), values, capacity);
        }
    }
}

TEST(SpaceSaving, MergingCommutes) {
    std::mt19937_64 random(4);
    const std::vector<std::int64_t> a = zipf_values(3'000, 1, random);
    const std::vector<std::int64_t> b = zipf_values(5'000, 0.5, random);
    Summary ab(10, a);
    ab.merge(Summary(10, b));
    Summary ba(10, b);
    ba.merge(Summary(10, a));
    EXPECT_EQ(ab.encoded(), ba.encoded());
}

TEST(SpaceSaving, MemoryIsBoundedByTheCapacity) {
    std::mt19937_64 random(5);
    Summary summary(100);
    std::size_t after_some = 0;
    for (int added = 0; added < 200'000; ++added) {
        summary.add(static_cast<std::int64_t>(random()));
        after_some = added == 1'000 ? summary.allocated_bytes() : after_some;
    }
    EXPECT_LE(summary.allocated_bytes(), after_some);
}

}  // namespace
}  // namespace llmopt_stream
