#include "aggregate/quantile_sketch.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <new>
#include <numeric>

#include "record/int128.hpp"

namespace llmopt_stream {
namespace {

/// Adds at most kExactValues values.
void add_values(LogHistogram& histogram, std::span<const double> values, SizeClassPool& pool) {
    [[gnu::uninitialized]] LogHistogram::Bucket buckets[QuantileSketch::kExactValues];
    LogHistogram::buckets_of(values.data(), values.size(), buckets);
    histogram.add(std::span(buckets).first(values.size()), pool);
}

}  // namespace

std::uint64_t nearest_rank(double percent, std::uint64_t count) noexcept {
    constexpr std::uint64_t kWhole = 100'000'000'000;  // 100 % in units of 1e-9 %
    // To the nearest, a half away from zero; the remainder is exact.
    const double scaled = percent * 1e9;
    auto units = static_cast<std::uint64_t>(scaled);
    units += scaled - static_cast<double>(units) >= 0.5 ? 1 : 0;
    // A wide division is a call.
    const bool is_narrow = count <= std::numeric_limits<std::uint64_t>::max() / kWhole - 1;
    const auto rank = is_narrow
                          ? (units * count + (kWhole - 1)) / kWhole
                          : static_cast<std::uint64_t>((UInt128{units} * count + (kWhole - 1)) / kWhole);
    return std::clamp<std::uint64_t>(rank, 1, std::max<std::uint64_t>(count, 1));
}

std::span<const double> QuantileSketch::exact_values() const noexcept {
    return block_ == nullptr || is_histogram() ? std::span<const double>{}
                                               : std::span<const double>{exact().values(), exact().size};
}

void QuantileSketch::append_exact(std::span<const double> values, SizeClassPool& pool) {
    const std::span<const double> present = exact_values();
    const std::size_t size = present.size() + values.size();
    if (block_ == nullptr || size > exact().capacity) {
        // Blocks of 32, 64, 128, 256 bytes, then the full one: each is filled to its end.
        std::size_t capacity = 3;
        while (capacity < size) {
            capacity = std::min(2 * capacity + 1, kExactValues);
        }
        auto* const block = static_cast<std::byte*>(pool.allocate(ExactBlock::bytes(capacity)));
        ::new (block) ExactBlock{kExactTag, static_cast<std::uint8_t>(present.size()),
                                 static_cast<std::uint8_t>(capacity)};
        std::copy(present.begin(), present.end(), reinterpret_cast<ExactBlock*>(block)->values());
        destroy(pool);
        block_ = block;
    }
    std::copy(values.begin(), values.end(), exact().values() + exact().size);
    exact().size = static_cast<std::uint8_t>(size);
}

void QuantileSketch::become_histogram(SizeClassPool& pool) {
    if (is_histogram() || block_ == nullptr) {
        return;
    }
    LogHistogram histogram;
    add_values(histogram, exact_values(), pool);
    destroy(pool);
    block_ = histogram.block();
}

void QuantileSketch::add_slowly(double value, LogHistogram::Bucket bucket, SizeClassPool& pool) {
    if (!is_histogram() && exact_values().size() < kExactValues) {
        append_exact({&value, 1}, pool);
        return;
    }
    become_histogram(pool);
    LogHistogram histogram(block_);
    histogram.add({&bucket, 1}, pool);
    block_ = histogram.block();
}

void QuantileSketch::merge(const QuantileSketch& other, SizeClassPool& pool) {
    if (other.block_ == nullptr) {
        return;
    }
    const std::span<const double> values = other.exact_values();
    if (!is_histogram() && !other.is_histogram() && exact_values().size() + values.size() <= kExactValues) {
        append_exact(values, pool);
        return;
    }
    become_histogram(pool);
    LogHistogram histogram(block_);
    if (other.is_histogram()) {
        histogram.merge(LogHistogram(other.block_), pool);
    } else {
        add_values(histogram, values, pool);
    }
    block_ = histogram.block();
}

void QuantileSketch::destroy(SizeClassPool& pool) noexcept {
    if (is_histogram()) {
        LogHistogram(block_).destroy(pool);
    } else if (block_ != nullptr) {
        pool.release(block_, ExactBlock::bytes(exact().capacity));
    }
    block_ = nullptr;
}

std::uint64_t QuantileSketch::count() const noexcept {
    return is_histogram() ? LogHistogram(block_).count() : exact_values().size();
}

void QuantileSketch::percentiles(std::span<const double> percents, double min, double max,
                                 std::span<double> results) const {
    if (!is_histogram() && exact_values().size() == 1) {
        std::fill(results.begin(), results.end(), exact_values().front());
        return;
    }
    if (!is_histogram()) {
        [[gnu::uninitialized]] std::array<double, kExactValues> sorted;
        const std::span<const double> values = exact_values();
        std::copy(values.begin(), values.end(), sorted.begin());
        std::sort(sorted.begin(), sorted.begin() + static_cast<std::ptrdiff_t>(values.size()));
        for (std::size_t i = 0; i < percents.size(); ++i) {
            results[i] = sorted[nearest_rank(percents[i], values.size()) - 1];
        }
        return;
    }

    const LogHistogram histogram(block_);
    const std::uint64_t count = histogram.count();
    // Ranks are looked up in ascending order, in one walk over the buckets.
    constexpr std::size_t kAtOnce = 16;
    for (std::size_t begin = 0; begin < percents.size(); begin += kAtOnce) {
        const std::size_t size = std::min(kAtOnce, percents.size() - begin);
        const std::span<const double> wanted = percents.subspan(begin, size);
        std::array<std::uint8_t, kAtOnce> order;
        std::iota(order.begin(), order.end(), std::uint8_t{0});
        std::sort(order.begin(), order.begin() + static_cast<std::ptrdiff_t>(size),
                  [&](std::uint8_t a, std::uint8_t b) { return wanted[a] < wanted[b]; });
        std::array<std::uint64_t, kAtOnce> ranks;
        std::array<double, kAtOnce> values;
        for (std::size_t i = 0; i < size; ++i) {
            ranks[i] = nearest_rank(wanted[order[i]], count);
        }
        histogram.values(std::span(ranks).first(size), values);
        for (std::size_t i = 0; i < size; ++i) {
            results[begin + order[i]] = ranks[i] == 1       ? min
                                        : ranks[i] == count ? max
                                                            : std::clamp(values[i], min, max);
        }
    }
}

double QuantileSketch::percentile(double percent, double min, double max) const {
    double result = 0;
    percentiles({&percent, 1}, min, max, {&result, 1});
    return result;
}

double QuantileSketch::error() const noexcept { return is_histogram() ? LogHistogram(block_).error() : 0.0; }

void QuantileSketch::encode(ByteWriter& out) const {
    const bool histogram = is_histogram();
    const std::span<const double> values = exact_values();
    // The number of exact values, or one more than there can be.
    out.write(static_cast<std::uint8_t>(histogram ? kExactValues + 1 : values.size()));
    out.write_all(values);
    if (histogram) {
        LogHistogram(block_).encode(out);
    }
}

QuantileSketch QuantileSketch::decode(ByteReader& in, SizeClassPool& pool) {
    QuantileSketch sketch;
    const auto size = in.read<std::uint8_t>();
    if (size > kExactValues + 1) {
        ByteReader::corrupt("the number of values of a sketch");
    }
    if (size == kExactValues + 1) {
        const LogHistogram histogram = LogHistogram::decode(in, pool);
        sketch.block_ = histogram.block();
        if (histogram.count() <= kExactValues) {
            sketch.destroy(pool);
            ByteReader::corrupt("a histogram of few values");
        }
        return sketch;
    }
    std::array<double, kExactValues> values;
    for (std::size_t i = 0; i < size; ++i) {
        values[i] = in.read<double>();
        if (!std::isfinite(values[i])) {
            ByteReader::corrupt("a value of a sketch is not finite");
        }
    }
    if (size != 0) {
        sketch.append_exact(std::span(values).first(size), pool);
    }
    return sketch;
}

}  // namespace llmopt_stream
