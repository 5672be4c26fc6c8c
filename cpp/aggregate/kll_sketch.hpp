#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "aggregate/pool_array.hpp"
#include "aggregate/size_class_pool.hpp"
#include "state/byte_codec.hpp"

namespace llmopt_stream {

/// Percentiles of a multiset of finite values by rank: KLL (Karnin, Lang and Liberty, 2016). Values lie on
/// levels; one of level n stands for 2^n values. A full level is sorted and every second of its values moves
/// to the next one. Answers are values that occurred; the least and the greatest are exact, and so is
/// everything up to k values.
///
/// The rank of an answer differs from the one asked for by a random error whose standard deviation is at most
/// sqrt(6) / k of the number of values (the sum over all compactions of level n of 4^n), and about
/// 1 / k in practice: with k = 200 within 1.65 % in 99 of 100 cases.
///
/// The coin, which half of a level survives, is a hash of its values, the level and the number of values.
/// The state is a function of the order of values, and of what is merged into what; `a` merged into `b`
/// answers as `b` merged into `a`.
///
/// Plain pointers to memory of the pool, like QuantileSketch: it does not own it. k is the same in all calls.
class KllSketch {
public:
    static constexpr std::uint32_t kLeastK = 8;
    static constexpr std::uint32_t kGreatestK = 65535;

    void add(double value, std::uint32_t k, SizeClassPool& pool);
    void merge(const KllSketch& other, std::uint32_t k, SizeClassPool& pool);
    void destroy(SizeClassPool& pool) noexcept;

    [[nodiscard]] std::uint64_t count() const noexcept { return count_; }
    /// How many values are kept.
    [[nodiscard]] std::size_t kept() const noexcept { return kept_; }
    /// The values of nearest rank. Requires that there are any.
    [[nodiscard]] std::vector<double> percentiles(std::span<const double> percents) const;

    void encode(ByteWriter& out) const;
    /// Throws Error(kCheckpoint) on bytes that encode() did not write.
    [[nodiscard]] static KllSketch decode(ByteReader& in, std::uint32_t k, SizeClassPool& pool);

private:
    using Level = PoolArray<double>;

    void add_level(std::uint32_t k, SizeClassPool& pool);
    void compress(std::uint32_t k, SizeClassPool& pool);
    void compact(std::size_t level, std::uint32_t k, SizeClassPool& pool);

    PoolArray<Level> levels_;
    std::size_t kept_ = 0;
    std::size_t room_ = 0;  // for as many values on all levels
    std::uint64_t count_ = 0;
    double min_ = 0;
    double max_ = 0;
};

}  // namespace llmopt_stream
