#include "aggregate/kll_sketch.hpp"

#include <algorithm>
#include <cmath>
#include <string_view>
#include <utility>

#include "aggregate/quantile_sketch.hpp"
#include "record/key.hpp"

namespace llmopt_stream {
namespace {

constexpr std::size_t kLeastRoom = 8;
constexpr std::size_t kMostLevels = 61;

/// How many values there are room for on a level, seen from the top: k, and two thirds of it on each below.
std::size_t room_below(std::size_t levels_above, std::uint32_t k) noexcept {
    std::size_t room = k;
    for (; levels_above > 0 && room > kLeastRoom; --levels_above) {
        room = (2 * room + 2) / 3;
    }
    return std::max(room, kLeastRoom);
}

std::size_t room_of(std::size_t levels, std::uint32_t k) noexcept {
    std::size_t room = 0;
    for (std::size_t above = 0; above < levels; ++above) {
        room += room_below(above, k);
    }
    return room;
}

/// 0 or 1.
std::size_t coin(std::span<const double> values, std::size_t level, std::uint64_t count) noexcept {
    const std::string_view bytes(reinterpret_cast<const char*>(values.data()), values.size_bytes());
    const std::uint64_t seeds[] = {hash_key(bytes), level, count};
    return hash_key({reinterpret_cast<const char*>(seeds), sizeof(seeds)}) & 1;
}

}  // namespace

void KllSketch::add_level(std::uint32_t k, SizeClassPool& pool) {
    levels_.push_back({}, pool);
    room_ = room_of(levels_.size(), k);
}

void KllSketch::add(double value, std::uint32_t k, SizeClassPool& pool) {
    if (count_ == 0) {
        add_level(k, pool);
        min_ = max_ = value;
    }
    min_ = std::min(min_, value);
    max_ = std::max(max_, value);
    levels_[0].push_back(value, pool);
    ++count_;
    ++kept_;
    compress(k, pool);
}

void KllSketch::merge(const KllSketch& other, std::uint32_t k, SizeClassPool& pool) {
    if (other.count_ == 0) {
        return;
    }
    min_ = count_ == 0 ? other.min_ : std::min(min_, other.min_);
    max_ = count_ == 0 ? other.max_ : std::max(max_, other.max_);
    while (levels_.size() < other.levels_.size()) {
        add_level(k, pool);
    }
    for (std::size_t level = 0; level < other.levels_.size(); ++level) {
        levels_[level].append(other.levels_[level].values(), pool);
    }
    count_ += other.count_;
    kept_ += other.kept_;
    compress(k, pool);
}

void KllSketch::compress(std::uint32_t k, SizeClassPool& pool) {
    while (kept_ > room_) {
        std::size_t level = 0;
        while (levels_[level].size() < room_below(levels_.size() - 1 - level, k)) {
            ++level;
        }
        compact(level, k, pool);
    }
}

void KllSketch::compact(std::size_t level, std::uint32_t k, SizeClassPool& pool) {
    if (level + 1 == levels_.size()) {
        add_level(k, pool);
    }
    Level& values = levels_[level];
    Level& next = levels_[level + 1];
    std::sort(values.begin(), values.end());
    // Of an odd number one stays, so that the weights still add up.
    const std::size_t first = values.size() % 2;
    const std::size_t moved = values.size() / 2;
    next.reserve(next.size() + moved, pool);
    for (std::size_t at = first + coin(values.values(), level, count_); at < values.size(); at += 2) {
        next.push_back(values[at], pool);
    }
    values.shrink(first);
    kept_ -= moved;
}

void KllSketch::destroy(SizeClassPool& pool) noexcept {
    for (Level& level : levels_) {
        level.destroy(pool);
    }
    levels_.destroy(pool);
    *this = {};
}

std::vector<double> KllSketch::percentiles(std::span<const double> percents) const {
    std::vector<std::pair<double, std::uint64_t>> weighted;
    weighted.reserve(kept_);
    for (std::size_t level = 0; level < levels_.size(); ++level) {
        for (const double value : levels_[level]) {
            weighted.emplace_back(value, std::uint64_t{1} << level);
        }
    }
    std::sort(weighted.begin(), weighted.end());
    std::uint64_t rank = 0;
    for (auto& [value, weight] : weighted) {
        rank += std::exchange(weight, rank + weight);
    }
    std::vector<double> results;
    for (const double percent : percents) {
        const std::uint64_t asked = nearest_rank(percent, count_);
        const auto at =
            std::lower_bound(weighted.begin(), weighted.end(), asked,
                             [](const auto& each, std::uint64_t wanted) { return each.second < wanted; });
        results.push_back(asked == 1 ? min_ : asked == count_ ? max_ : at->first);
    }
    return results;
}

void KllSketch::encode(ByteWriter& out) const {
    out.write(count_);
    if (count_ == 0) {
        return;
    }
    out.write(min_);
    out.write(max_);
    out.write<std::uint64_t>(levels_.size());
    for (const Level& level : levels_) {
        out.write<std::uint64_t>(level.size());
        for (const double value : level) {
            out.write(value);
        }
    }
}

KllSketch KllSketch::decode(ByteReader& in, std::uint32_t k, SizeClassPool& pool) {
    KllSketch decoded;
    decoded.count_ = in.read<std::uint64_t>();
    if (decoded.count_ == 0) {
        return decoded;
    }
    try {
        decoded.min_ = in.read<double>();
        decoded.max_ = in.read<double>();
        const std::uint64_t levels = in.read_count(sizeof(std::uint64_t));
        if (!std::isfinite(decoded.min_) || !std::isfinite(decoded.max_) || levels == 0 ||
            levels > kMostLevels) {
            ByteReader::corrupt("the levels of a percentile sketch");
        }
        std::uint64_t count = 0;
        for (std::uint64_t level = 0; level < levels; ++level) {
            decoded.add_level(k, pool);
            const std::uint64_t size = in.read_count(sizeof(double));
            std::uint64_t weight = 0;
            if (__builtin_mul_overflow(size, std::uint64_t{1} << level, &weight) ||
                __builtin_add_overflow(count, weight, &count)) {
                ByteReader::corrupt("the number of values of a percentile sketch");
            }
            for (std::uint64_t at = 0; at < size; ++at) {
                const auto value = in.read<double>();
                if (!(value >= decoded.min_ && value <= decoded.max_)) {
                    ByteReader::corrupt("a value of a percentile sketch");
                }
                decoded.levels_.back().push_back(value, pool);
            }
            decoded.kept_ += size;
        }
        if (count != decoded.count_ || decoded.kept_ > decoded.room_ || decoded.levels_.back().empty()) {
            ByteReader::corrupt("the number of values of a percentile sketch");
        }
    } catch (...) {
        decoded.destroy(pool);
        throw;
    }
    return decoded;
}

}  // namespace llmopt_stream
