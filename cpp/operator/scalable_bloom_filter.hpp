#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "operator/value_hash.hpp"
#include "state/byte_codec.hpp"

namespace llmopt_stream {

/// A set of hashes that may claim to hold one that it does not, at any size with at most the
/// stated probability: a series of Bloom filters, each for twice as many hashes and half the
/// probability of the one before (Almeida, Baquero, Preguiça and Hutchison, Information
/// Processing Letters 2007). About 1.44 * log2(2 / rate) bits per hash, and 1.44 more for each
/// further filter of the series.
class ScalableBloomFilter {
public:
    /// `expected` hashes fill the first filter. Requires 0 < rate < 1.
    ScalableBloomFilter(double rate, std::uint64_t expected);

    [[nodiscard]] bool contains(const ValueHash& hash) const noexcept;
    /// Adds a hash that it does not contain.
    void add(const ValueHash& hash);

    /// How many hashes were added.
    [[nodiscard]] std::uint64_t size() const noexcept { return size_; }
    [[nodiscard]] std::size_t allocated_bytes() const noexcept;

    /// The bytes depend on the hashes and their order.
    void encode(ByteWriter& out) const;
    [[nodiscard]] static ScalableBloomFilter decode(ByteReader& in, double rate);

private:
    static constexpr std::uint64_t kFewestExpected = 64;

    struct Filter {
        std::uint64_t room;  // for so many further hashes its rate holds
        int probes;
        std::vector<std::uint64_t> words;
    };

    explicit ScalableBloomFilter(double rate) noexcept : rate_(rate) {}
    /// The rate, probes and words of the next filter of the series.
    [[nodiscard]] double next_rate() const noexcept;
    [[nodiscard]] static int probes_for(double rate) noexcept;
    /// As many as keep the rate with so many probes; in double, because a corrupt capacity may be any.
    [[nodiscard]] static double words_for(double rate, int probes, std::uint64_t capacity) noexcept;
    void extend(std::uint64_t capacity);

    double rate_;
    std::uint64_t size_ = 0;
    std::uint64_t capacity_ = 0;  // of the last filter
    std::vector<Filter> filters_;
};

}  // namespace llmopt_stream
