#pragma once

#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <numbers>
#include <vector>

namespace llmopt_stream {

/// Random numbers that one seed makes the same on every machine and compiler, which
/// <random>'s distributions are not. xoshiro256** (Blackman and Vigna, 2018), seeded by
/// splitmix64. Not for secrets.
class SeededRandom {
public:
    explicit SeededRandom(std::uint64_t seed) noexcept {
        for (std::uint64_t& word : state_) {
            seed += 0x9e3779b97f4a7c15;
            std::uint64_t mixed = seed;
            mixed = (mixed ^ (mixed >> 30)) * 0xbf58476d1ce4e5b9;
            mixed = (mixed ^ (mixed >> 27)) * 0x94d049bb133111eb;
            word = mixed ^ (mixed >> 31);
        }
    }

    [[nodiscard]] std::uint64_t bits() noexcept {
        const std::uint64_t result = rotate_left(state_[1] * 5, 7) * 9;
        const std::uint64_t shifted = state_[1] << 17;
        state_[2] ^= state_[0];
        state_[3] ^= state_[1];
        state_[1] ^= state_[2];
        state_[0] ^= state_[3];
        state_[2] ^= shifted;
        state_[3] = rotate_left(state_[3], 45);
        return result;
    }

    /// In [0, 1).
    [[nodiscard]] double uniform() noexcept { return static_cast<double>(bits() >> 11) * 0x1p-53; }
    [[nodiscard]] double uniform(double low, double high) noexcept { return low + (high - low) * uniform(); }
    [[nodiscard]] bool chance(double share) noexcept { return uniform() < share; }

    /// Of mean 1.
    [[nodiscard]] double exponential() noexcept { return -std::log1p(-uniform()); }

    /// Of mean 0 and variance 1 (Box and Muller, 1958).
    [[nodiscard]] double normal() noexcept {
        if (has_spare_) {
            has_spare_ = false;
            return spare_;
        }
        const double radius = std::sqrt(2.0 * exponential());
        const double angle = 2.0 * std::numbers::pi * uniform();
        spare_ = radius * std::sin(angle);
        has_spare_ = true;
        return radius * std::cos(angle);
    }

    [[nodiscard]] double lognormal(double median, double sigma) noexcept {
        return median * std::exp(sigma * normal());
    }

private:
    static constexpr std::uint64_t rotate_left(std::uint64_t value, int count) noexcept {
        return (value << count) | (value >> (64 - count));
    }

    std::array<std::uint64_t, 4> state_{};
    double spare_ = 0.0;
    bool has_spare_ = false;
};

/// Draws indices in proportion to their weights.
class WeightedChoice {
public:
    /// Weights are positive and finite, at least one.
    explicit WeightedChoice(const std::vector<double>& weights) {
        double total = 0.0;
        for (const double weight : weights) {
            total += weight;
            cumulative_.push_back(total);
        }
    }

    [[nodiscard]] std::size_t draw(SeededRandom& random) const noexcept {
        const double target = random.uniform() * cumulative_.back();
        std::size_t index = 0;
        while (index + 1 < cumulative_.size() && cumulative_[index] <= target) {
            ++index;
        }
        return index;
    }

private:
    std::vector<double> cumulative_;
};

}  // namespace llmopt_stream
