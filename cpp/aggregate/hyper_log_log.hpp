#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "aggregate/pool_array.hpp"
#include "aggregate/size_class_pool.hpp"
#include "state/byte_codec.hpp"

namespace llmopt_stream {

/// How many different hashes were added: HyperLogLog (Flajolet et al., 2007) with 64-bit hashes and the
/// improved raw estimator of Ertl (2017), which needs no table of biases. The standard error is
/// 1.04 / sqrt(2^precision) of the number.
///
/// At most exact_values() hashes are kept as they are and counted exactly. Beyond that each of 2^precision
/// registers has the greatest rank of its hashes. Either way the state is a function of the set of hashes,
/// not of the order in which they came or parts were merged.
///
/// Plain pointers to memory of the pool, like QuantileSketch: it does not own it. The precision is the same
/// in all calls.
class HyperLogLog {
public:
    static constexpr int kLeastPrecision = 4;
    static constexpr int kGreatestPrecision = 18;

    /// The registers take no less memory than so many hashes, except for the least precisions.
    [[nodiscard]] static constexpr std::size_t exact_values(int precision) noexcept {
        return std::clamp<std::size_t>((std::size_t{1} << precision) / sizeof(std::uint64_t), 64, 1024);
    }

    void add(std::uint64_t hash, int precision, SizeClassPool& pool);
    void merge(const HyperLogLog& other, int precision, SizeClassPool& pool);
    void destroy(SizeClassPool& pool) noexcept;

    [[nodiscard]] std::int64_t estimate(int precision) const noexcept;

    /// Equal sets give equal bytes.
    void encode(ByteWriter& out) const;
    /// Throws Error(kCheckpoint) on bytes that encode() did not write.
    [[nodiscard]] static HyperLogLog decode(ByteReader& in, int precision, SizeClassPool& pool);

private:
    void count(std::uint64_t hash, int precision) noexcept;
    void make_registers(int precision, SizeClassPool& pool);

    // One of them at most has anything.
    PoolArray<std::uint64_t> hashes_;  // ascending
    PoolArray<std::uint8_t> registers_;
};

}  // namespace llmopt_stream
