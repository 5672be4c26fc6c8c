#pragma once

#include <cstdint>

#include "aggregate/log_histogram.hpp"

/// Where the buckets of LogHistogram lie. At level 0 bucket i * 35 begins at 2^i, and the
/// 35 buckets of an octave follow the cubic of LogHistogram::bucket_of_normal(). At level
/// n, bucket i is made of the 2^n buckets of level 0 from i * 2^n on.
namespace llmopt_stream::log_buckets {

/// The buckets at level 0 of the smallest and of the greatest double; those next to
/// infinity may round up to it.
inline constexpr std::int32_t kFirst = -1074 * LogHistogram::kBucketsPerOctave;
inline constexpr std::int32_t kLast = 1024 * LogHistogram::kBucketsPerOctave;

/// All finite doubles of one sign fit into kMaxBuckets at this level.
inline constexpr int kMaxLevel = 7;
static_assert((kLast >> kMaxLevel) - (kFirst >> kMaxLevel) + 1 <= LogHistogram::kMaxBuckets);

/// The least positive double in a bucket or in one that follows; infinite where there is none.
[[nodiscard]] double lower_bound(std::int32_t bucket, int level) noexcept;
/// The value whose relative distance to both ends of a bucket is the same.
[[nodiscard]] double representative(std::int32_t bucket, int level) noexcept;
/// The bound on the relative distance of any value to the one that represents its bucket.
[[nodiscard]] double relative_error(int level) noexcept;

}  // namespace llmopt_stream::log_buckets
