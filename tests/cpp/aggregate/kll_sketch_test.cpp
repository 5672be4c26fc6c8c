#include "aggregate/kll_sketch.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "aggregate/quantile_sketch.hpp"

namespace llmopt_stream {
namespace {

constexpr std::uint32_t kK = 200;

class Sketch {
public:
    explicit Sketch(const std::vector<double>& values = {}, std::uint32_t k = kK) : k_(k) {
        for (const double value : values) {
            add(value);
        }
    }
    ~Sketch() { sketch_.destroy(pool_); }
    Sketch(const Sketch&) = delete;
    Sketch& operator=(const Sketch&) = delete;

    void add(double value) { sketch_.add(value, k_, pool_); }
    void merge(const Sketch& other) { sketch_.merge(other.sketch_, k_, pool_); }
    [[nodiscard]] const KllSketch& get() const { return sketch_; }
    [[nodiscard]] double percentile(double percent) const {
        return sketch_.percentiles({&percent, 1}).front();
    }
    [[nodiscard]] std::string encoded() const {
        ByteWriter out;
        sketch_.encode(out);
        return out.take();
    }
    void decode(const std::string& encoded) {
        ByteReader in(encoded);
        sketch_ = KllSketch::decode(in, k_, pool_);
    }

private:
    std::uint32_t k_;
    SizeClassPool pool_;
    KllSketch sketch_;
};

using Make = std::function<double(std::mt19937_64&, std::size_t, std::size_t)>;

const std::map<std::string, Make>& distributions() {
    static const std::map<std::string, Make> kAll = {
        {"lognormal", [](auto& random, auto, auto) { return std::lognormal_distribution(5.0, 1.0)(random); }},
        {"pareto", [](auto& random, auto,
                      auto) { return std::pow(1 - std::uniform_real_distribution<>()(random), -1 / 1.2); }},
        {"constant", [](auto&, auto, auto) { return 7.0; }},
        {"sorted", [](auto&, auto at, auto) { return static_cast<double>(at); }},
        {"reversed", [](auto&, auto at, auto size) { return static_cast<double>(size - at); }},
        {"bimodal", [](auto& random, auto at,
                       auto) { return std::normal_distribution(at % 2 == 0 ? 10.0 : 1000.0, 1.0)(random); }},
        {"negative", [](auto& random, auto, auto) { return -std::exponential_distribution<>()(random); }},
        {"zeros", [](auto& random, auto at,
                     auto) { return at % 3 == 0 ? std::normal_distribution<>()(random) : 0.0; }},
    };
    return kAll;
}

std::vector<double> values_of(const Make& make, std::size_t size, std::uint64_t seed) {
    std::mt19937_64 random(seed);
    std::vector<double> values;
    for (std::size_t at = 0; at < size; ++at) {
        values.push_back(make(random, at, size));
    }
    return values;
}

/// How far the ranks that an answer has are from the one asked for, as a part of the number of values.
double rank_error(const std::vector<double>& sorted, double percent, double answer) {
    const auto n = static_cast<double>(sorted.size());
    const auto rank = static_cast<double>(nearest_rank(percent, sorted.size()));
    const auto [first, last] = std::equal_range(sorted.begin(), sorted.end(), answer);
    EXPECT_NE(first, last) << "the answer did not occur";
    const auto least = static_cast<double>(first - sorted.begin() + 1);
    const auto greatest = static_cast<double>(last - sorted.begin());
    return std::max({0.0, least - rank, rank - greatest}) / n;
}

TEST(KllSketch, UpToKValuesIsExact) {
    for (const auto& [name, make] : distributions()) {
        for (const std::size_t size : {1U, 10U, 64U, 65U, kK}) {
            std::vector<double> values = values_of(make, size, 1);
            const Sketch sketch(values);
            std::sort(values.begin(), values.end());
            for (const double percent : {0.0, 1.0, 50.0, 95.0, 99.0, 100.0}) {
                EXPECT_EQ(sketch.percentile(percent), values[nearest_rank(percent, size) - 1]) << name;
            }
        }
    }
}

TEST(KllSketch, RanksAreWithinTheStatedErrorAndExtremesExact) {
    int answers = 0;
    int beyond = 0;
    for (const auto& [name, make] : distributions()) {
        for (const std::size_t size : {1'000U, 20'000U, 100'000U}) {
            for (std::uint64_t seed = 0; seed < 4; ++seed) {
                std::vector<double> values = values_of(make, size, seed);
                const Sketch sketch(values);
                std::sort(values.begin(), values.end());
                for (const double percent : {1.0, 5.0, 25.0, 50.0, 75.0, 95.0, 99.0}) {
                    const double error = rank_error(values, percent, sketch.percentile(percent));
                    ++answers;
                    beyond += error > 0.0165 ? 1 : 0;
                    EXPECT_LT(error, 4 * std::sqrt(6.0) / kK) << name << ' ' << size << ' ' << percent;
                }
                EXPECT_EQ(sketch.percentile(0), values.front()) << name;
                EXPECT_EQ(sketch.percentile(100), values.back()) << name;
                EXPECT_LT(sketch.get().kept(), 4 * kK);
            }
        }
    }
    EXPECT_LE(100 * beyond, answers);
}

TEST(KllSketch, MergedSketchesKeepTheErrorWhateverTheOrder) {
    std::mt19937_64 random(5);
    int answers = 0;
    int beyond = 0;
    for (const auto& [name, make] : distributions()) {
        for (const bool at_random : {false, true}) {
            std::vector<double> values = values_of(make, 50'000, 6);
            std::vector<std::unique_ptr<Sketch>> parts;
            for (int part = 0; part < 37; ++part) {
                parts.push_back(std::make_unique<Sketch>());
            }
            for (std::size_t at = 0; at < values.size(); ++at) {
                parts[at_random ? random() % parts.size() : at * parts.size() / values.size()]->add(
                    values[at]);
            }
            while (parts.size() > 1) {
                std::shuffle(parts.begin(), parts.end(), random);
                parts[parts.size() - 2]->merge(*parts.back());
                parts.pop_back();
            }
            std::sort(values.begin(), values.end());
            EXPECT_EQ(parts.front()->get().count(), values.size());
            for (const double percent : {1.0, 25.0, 50.0, 75.0, 99.0}) {
                const double error = rank_error(values, percent, parts.front()->percentile(percent));
                ++answers;
                beyond += error > 0.0165 ? 1 : 0;
                EXPECT_LT(error, 4 * std::sqrt(6.0) / kK) << name;
            }
        }
    }
    EXPECT_LE(50 * beyond, answers);
}

TEST(KllSketch, TheErrorOfManyStreamsHasAMeanOfZero) {
    // A coin that favours a side would show.
    double sum = 0;
    constexpr int kStreams = 200;
    for (std::uint64_t seed = 0; seed < kStreams; ++seed) {
        std::vector<double> values = values_of(distributions().at("lognormal"), 20'000, seed + 100);
        const Sketch sketch(values);
        std::sort(values.begin(), values.end());
        const auto at = std::lower_bound(values.begin(), values.end(), sketch.percentile(50));
        sum += static_cast<double>(at - values.begin() + 1) / 20'000 - 0.5;
    }
    // About 0.5 % each.
    EXPECT_LT(std::fabs(sum / kStreams), 4 * 0.005 / std::sqrt(kStreams));
}

TEST(KllSketch, MergingEitherWayAnswersAlike) {
    const std::vector<double> values = values_of(distributions().at("pareto"), 9'000, 8);
    const std::vector<double> others = values_of(distributions().at("bimodal"), 700, 9);
    Sketch ab(values);
    ab.merge(Sketch(others));
    Sketch ba(others);
    ba.merge(Sketch(values));
    for (double percent = 0; percent <= 100; ++percent) {
        EXPECT_EQ(ab.percentile(percent), ba.percentile(percent));
    }
}

TEST(KllSketch, ARestoredSketchGoesOnAlike) {
    const std::vector<double> values = values_of(distributions().at("lognormal"), 30'000, 10);
    Sketch whole;
    Sketch restarted;
    for (std::size_t at = 0; at < values.size(); ++at) {
        whole.add(values[at]);
        restarted.add(values[at]);
        if (at % 4'999 == 0) {
            const std::string encoded = restarted.encoded();
            restarted.decode(encoded);
        }
    }
    EXPECT_EQ(restarted.encoded(), whole.encoded());
}

}  // namespace
}  // namespace llmopt_stream
