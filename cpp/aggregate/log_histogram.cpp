#include "aggregate/log_histogram.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <new>
#include <optional>

#include "aggregate/log_buckets.hpp"

namespace llmopt_stream {

namespace {

/// How many counters are summed at once where none of them is asked for.
constexpr std::int32_t kStretch = 16;

constexpr std::uint8_t bytes_for(std::uint64_t count) noexcept {
    return count <= std::numeric_limits<std::uint16_t>::max()   ? 2
           : count <= std::numeric_limits<std::uint32_t>::max() ? 4
                                                                : 8;
}

bool all_zero(const std::uint16_t* first, const std::uint16_t* end) noexcept {
    return std::all_of(first, end, [](std::uint16_t count) { return count == 0; });
}

/// Calls with the counters of a block as an array of their type.
template <typename Use>
decltype(auto) with_counters(std::byte* counters, std::uint8_t counter_bytes, Use use) {
    switch (counter_bytes) {
        case 2: return use(reinterpret_cast<std::uint16_t*>(counters));
        case 4: return use(reinterpret_cast<std::uint32_t*>(counters));
        default: return use(reinterpret_cast<std::uint64_t*>(counters));
    }
}

}  // namespace

void LogHistogram::Range::include(Range other) noexcept {
    if (empty()) {
        *this = other;
    } else if (!other.empty()) {
        first = std::min(first, other.first);
        end = std::max(end, other.end);
    }
}

LogHistogram::Range LogHistogram::Range::collapsed(int levels) const noexcept {
    return empty() ? Range{} : Range{first >> levels, ((end - 1) >> levels) + 1};
}

LogHistogram::Range LogHistogram::occupied(int sign) const noexcept {
    Block& block = head();
    return with_counters(block.counters(), block.counter_bytes, [&](const auto* counters) {
        const auto* const begin = counters + block.start[sign];
        std::int32_t low = 0;
        std::int32_t high = block.slots[sign];
        while (low < high && begin[low] == 0) {
            ++low;
        }
        while (high > low && begin[high - 1] == 0) {
            --high;
        }
        return low == high ? Range{} : Range{block.first[sign] + low, block.first[sign] + high};
    });
}

std::uint64_t LogHistogram::greatest_count(int level) const noexcept {
    Block& block = head();
    return with_counters(block.counters(), block.counter_bytes, [&](const auto* counters) {
        std::uint64_t greatest = 0;
        for (int sign = 0; sign < 2; ++sign) {
            std::uint64_t sum = 0;
            std::int32_t previous = 0;
            for (std::int32_t slot = 0; slot < block.slots[sign]; ++slot) {
                const std::int32_t bucket = (block.first[sign] + slot) >> (level - block.level);
                sum = (slot != 0 && bucket == previous ? sum : 0) + counters[block.start[sign] + slot];
                previous = bucket;
                greatest = std::max(greatest, sum);
            }
        }
        return greatest;
    });
}

void LogHistogram::make_room(int level, Ranges ranges, SizeClassPool& pool) {
    std::uint8_t counter_bytes = 2;
    if (block_ != nullptr) {
        const Block& block = head();
        const int own_level = block.level;
        const auto fits = [&](int sign) {
            const Range& range = ranges[static_cast<std::size_t>(sign)];
            return range.empty() ||
                   (range.first >= block.first[sign] && range.end <= block.first[sign] + block.slots[sign]);
        };
        if (own_level >= level) {
            for (Range& range : ranges) {
                range = range.collapsed(own_level - level);
            }
            level = own_level;
            if (fits(0) && fits(1)) {
                return;
            }
        }
        for (int sign = 0; sign < 2; ++sign) {
            ranges[static_cast<std::size_t>(sign)].include(occupied(sign).collapsed(level - own_level));
        }
        counter_bytes = block.counter_bytes;
    }
    while (std::max(ranges[0].size(), ranges[1].size()) > kMaxBuckets) {
        ++level;
        for (Range& range : ranges) {
            range = range.collapsed(1);
        }
    }
    if (block_ != nullptr && level != head().level) {
        counter_bytes = std::max(counter_bytes, bytes_for(greatest_count(level)));
    }
    rebuild(level, ranges, counter_bytes, pool);
}

void LogHistogram::rebuild(int level, const Ranges& ranges, std::uint8_t counter_bytes, SizeClassPool& pool) {
    // Some room to grow on both ends, and what the size class gives anyway. The slots of a sign
    // never exceed kMaxBuckets, so that a value which finds a slot never asks for a collapse.
    const std::int32_t needed = ranges[0].size() + ranges[1].size();
    const std::size_t wanted =
        sizeof(Block) + std::size_t{counter_bytes} * static_cast<std::size_t>(needed + needed / 8);
    const auto slots =
        static_cast<std::int32_t>((SizeClassPool::block_bytes(wanted) - sizeof(Block)) / counter_bytes);
    const std::int32_t slack = needed == 0 ? 0 : slots - needed;

    Block fresh{};
    fresh.counter_bytes = counter_bytes;
    fresh.level = static_cast<std::uint8_t>(level);
    for (std::size_t sign = 0; sign < 2; ++sign) {
        const Range& range = ranges[sign];
        const std::int32_t share =
            needed == 0 ? 0 : std::min(slack * range.size() / needed, kMaxBuckets - range.size());
        fresh.first[sign] = range.first - share / 2;
        fresh.slots[sign] = static_cast<std::uint16_t>(range.size() + share);
    }
    fresh.start[1] = fresh.slots[0];
    auto* const block = static_cast<std::byte*>(pool.allocate(fresh.bytes()));
    ::new (block) Block(fresh);
    std::memset(block + sizeof(Block), 0, fresh.bytes() - sizeof(Block));

    if (block_ != nullptr) {
        Block& old = head();
        reinterpret_cast<Block*>(block)->zeros = old.zeros;
        with_counters(block + sizeof(Block), counter_bytes, [&]<typename Counter>(Counter* to) {
            with_counters(old.counters(), old.counter_bytes, [&](const auto* from) {
                for (int sign = 0; sign < 2; ++sign) {
                    const Range filled = occupied(sign);
                    const auto slot_of = [&](std::int32_t bucket) {
                        return fresh.start[sign] + bucket - fresh.first[sign];
                    };
                    if (filled.empty()) {
                        continue;
                    }
                    const auto* const counts = from + old.start[sign] + filled.first - old.first[sign];
                    if (level == old.level) {
                        std::copy_n(counts, filled.size(), to + slot_of(filled.first));
                        continue;
                    }
                    for (std::int32_t i = 0; i < filled.size(); ++i) {
                        to[slot_of((filled.first + i) >> (level - old.level))] +=
                            static_cast<Counter>(counts[i]);
                    }
                }
            });
        });
        destroy(pool);
    }
    block_ = block;
}

void LogHistogram::count_up(int sign, std::int32_t bucket, std::uint64_t count, SizeClassPool& pool) {
    const auto slot_of = [&](const Block& block) { return block.start[sign] + bucket - block.first[sign]; };
    const std::uint64_t counted =
        with_counters(head().counters(), head().counter_bytes,
                      [&](const auto* counters) -> std::uint64_t { return counters[slot_of(head())]; }) +
        count;
    if (bytes_for(counted) > head().counter_bytes) {
        rebuild(head().level, {occupied(0), occupied(1)}, bytes_for(counted), pool);
    }
    with_counters(head().counters(), head().counter_bytes, [&]<typename Counter>(Counter* counters) {
        counters[slot_of(head())] = static_cast<Counter>(counted);
    });
}

void LogHistogram::add(std::span<const Bucket> buckets, SizeClassPool& pool) {
    if (block_ != nullptr) {
        std::size_t added = 0;
        while (added < buckets.size() && try_add(buckets[added])) {
            ++added;
        }
        buckets = buckets.subspan(added);
        if (buckets.empty()) {
            return;
        }
    }
    Ranges ranges;
    std::uint64_t zeros = 0;
    for (const Bucket bucket : buckets) {
        if (bucket == kZero) {
            ++zeros;
        } else {
            ranges[static_cast<std::size_t>(bucket & 1)].include({bucket >> 1, (bucket >> 1) + 1});
        }
    }
    make_room(0, ranges, pool);
    head().zeros += zeros;
    for (const Bucket bucket : buckets) {
        if (bucket != kZero && !try_add(bucket)) {
            count_up(bucket & 1, bucket >> (head().level + 1), 1, pool);
        }
    }
}

bool LogHistogram::try_merge(const LogHistogram& other) noexcept {
    Block& to = head();
    Block& from = other.head();
    if (to.counter_bytes != 2 || from.counter_bytes != 2 || to.level != from.level) {
        return false;
    }
    auto* const into = reinterpret_cast<std::uint16_t*>(to.counters());
    const auto* const added = reinterpret_cast<const std::uint16_t*>(from.counters());
    struct {
        std::uint16_t* into;
        const std::uint16_t* added;
        std::int32_t size;
    } common[2];
    // 1. What lies beyond our slots must be empty.
    for (int sign = 0; sign < 2; ++sign) {
        const std::int32_t first = std::max(to.first[sign], from.first[sign]);
        const std::int32_t end =
            std::max(first, std::min(to.first[sign] + to.slots[sign], from.first[sign] + from.slots[sign]));
        const std::uint16_t* const counters = added + from.start[sign];
        const std::int32_t before = std::min<std::int32_t>(first - from.first[sign], from.slots[sign]);
        const std::int32_t behind = std::min<std::int32_t>(end - from.first[sign], from.slots[sign]);
        if (!all_zero(counters, counters + before) ||
            !all_zero(counters + behind, counters + from.slots[sign])) {
            return false;
        }
        const bool apart = first == end;
        common[sign] = {into + (apart ? 0 : to.start[sign] + first - to.first[sign]), counters + before,
                        end - first};
    }
    // 2. Add; what wraps around is found on the way, and then everything taken back.
    std::uint16_t overflows = 0;
    for (const auto& [a, b, size] : common) {
        for (std::int32_t i = 0; i < size; ++i) {
            a[i] = static_cast<std::uint16_t>(a[i] + b[i]);
            overflows |= static_cast<std::uint16_t>(a[i] < b[i]);
        }
    }
    if (overflows != 0) {
        for (const auto& [a, b, size] : common) {
            for (std::int32_t i = 0; i < size; ++i) {
                a[i] = static_cast<std::uint16_t>(a[i] - b[i]);
            }
        }
        return false;
    }
    to.zeros += from.zeros;
    return true;
}

void LogHistogram::merge(const LogHistogram& other, SizeClassPool& pool) {
    if (other.block_ == nullptr) {
        return;
    }
    Block& from = other.head();
    if (block_ == nullptr) {
        block_ = static_cast<std::byte*>(pool.allocate(from.bytes()));
        std::memcpy(block_, other.block_, from.bytes());
        return;
    }
    if (try_merge(other)) {
        return;
    }
    make_room(from.level, {other.occupied(0), other.occupied(1)}, pool);
    if (try_merge(other)) {
        return;
    }
    head().zeros += from.zeros;
    with_counters(from.counters(), from.counter_bytes, [&](const auto* counters) {
        for (int sign = 0; sign < 2; ++sign) {
            for (std::int32_t slot = 0; slot < from.slots[sign]; ++slot) {
                if (const auto count = counters[from.start[sign] + slot]; count != 0) {
                    count_up(sign, (from.first[sign] + slot) >> (head().level - from.level), count, pool);
                }
            }
        }
    });
}

void LogHistogram::destroy(SizeClassPool& pool) noexcept {
    if (block_ != nullptr) {
        pool.release(block_, head().bytes());
        block_ = nullptr;
    }
}

std::uint64_t LogHistogram::count() const noexcept {
    if (block_ == nullptr) {
        return 0;
    }
    Block& block = head();
    return with_counters(block.counters(), block.counter_bytes, [&](const auto* counters) {
        std::uint64_t sum = block.zeros;
        for (std::int32_t slot = 0; slot < block.slots[0] + block.slots[1]; ++slot) {
            sum += counters[slot];
        }
        return sum;
    });
}

int LogHistogram::level() const noexcept { return block_ == nullptr ? 0 : head().level; }

double LogHistogram::error() const noexcept { return log_buckets::relative_error(level()); }

void LogHistogram::values(std::span<const std::uint64_t> ranks, std::span<double> results) const noexcept {
    Block& block = head();
    std::size_t next = 0;
    std::uint64_t seen = 0;
    const auto pass = [&](std::uint64_t count, auto value) {
        seen += count;
        while (next < ranks.size() && ranks[next] <= seen) {
            results[next++] = value();
        }
        return next < ranks.size();
    };
    // Whether a stretch of counters was passed at once, because it has none of the ranks.
    const auto pass_stretch = [&](const auto* counters) {
        std::uint64_t count = 0;
        for (std::int32_t i = 0; i < kStretch; ++i) {
            count += counters[i];
        }
        const bool passed = seen + count < ranks[next];
        seen += passed ? count : 0;
        return passed;
    };
    with_counters(block.counters(), block.counter_bytes, [&](const auto* counters) {
        const auto* const negative = counters + block.start[1];
        for (std::int32_t end = block.slots[1]; end > 0;) {
            if (end >= kStretch && pass_stretch(negative + end - kStretch)) {
                end -= kStretch;
                continue;
            }
            for (const std::int32_t stop = std::max(end - kStretch, 0); end > stop; --end) {
                if (!pass(negative[end - 1], [&] {
                        return -log_buckets::representative(block.first[1] + end - 1, block.level);
                    })) {
                    return;
                }
            }
        }
        if (!pass(block.zeros, [] { return 0.0; })) {
            return;
        }
        for (std::int32_t slot = 0; slot < block.slots[0];) {
            if (slot + kStretch <= block.slots[0] && pass_stretch(counters + slot)) {
                slot += kStretch;
                continue;
            }
            for (const std::int32_t stop = std::min<std::int32_t>(slot + kStretch, block.slots[0]);
                 slot < stop; ++slot) {
                if (!pass(counters[slot],
                          [&] { return log_buckets::representative(block.first[0] + slot, block.level); })) {
                    return;
                }
            }
        }
    });
}

std::vector<HistogramBucket> LogHistogram::buckets(int most) const {
    std::vector<HistogramBucket> buckets;
    if (block_ == nullptr) {
        return buckets;
    }
    Block& block = head();
    int level = block.level;
    while (std::max(occupied(0).collapsed(level - block.level).size(),
                    occupied(1).collapsed(level - block.level).size()) > most) {
        ++level;
    }
    const auto finite = [](double bound) {
        return std::isfinite(bound) ? std::optional(bound) : std::nullopt;
    };
    with_counters(block.counters(), block.counter_bytes, [&](const auto* counters) {
        for (const int sign : {1, 0}) {
            const std::size_t begin = buckets.size();
            const Range range = occupied(sign);
            std::int32_t last = 0;
            for (std::int32_t bucket = range.first; bucket < range.end; ++bucket) {
                const std::uint64_t count = counters[block.start[sign] + bucket - block.first[sign]];
                const std::int32_t collapsed = bucket >> (level - block.level);
                if (count != 0 && buckets.size() > begin && last == collapsed) {
                    buckets.back().count += count;
                } else if (count != 0) {
                    const double lower = log_buckets::lower_bound(collapsed, level);
                    const double upper = log_buckets::lower_bound(collapsed + 1, level);
                    buckets.push_back(sign == 0 ? HistogramBucket{lower, finite(upper), count}
                                                : HistogramBucket{finite(-upper), -lower, count});
                    last = collapsed;
                }
            }
            if (sign == 1) {
                std::reverse(buckets.begin(), buckets.end());
                if (block.zeros != 0) {
                    buckets.push_back({0.0, 0.0, block.zeros});
                }
            }
        }
    });
    return buckets;
}

void LogHistogram::encode(ByteWriter& out) const {
    Block& block = head();
    out.write(block.counter_bytes);
    out.write(block.level);
    out.write(block.zeros);
    for (int sign = 0; sign < 2; ++sign) {
        const Range range = occupied(sign);
        out.write(range.first);
        out.write(static_cast<std::uint16_t>(range.size()));
        with_counters(block.counters(), block.counter_bytes, [&](const auto* counters) {
            for (std::int32_t bucket = range.first; bucket < range.end; ++bucket) {
                out.write(counters[block.start[sign] + bucket - block.first[sign]]);
            }
        });
    }
}

LogHistogram LogHistogram::decode(ByteReader& in, SizeClassPool& pool) {
    const auto counter_bytes = in.read<std::uint8_t>();
    if (counter_bytes != 2 && counter_bytes != 4 && counter_bytes != 8) {
        ByteReader::corrupt("the width of histogram counters");
    }
    const int level = in.read<std::uint8_t>();
    if (level > log_buckets::kMaxLevel) {
        ByteReader::corrupt("the collapse level of a histogram");
    }
    auto total = in.read<std::uint64_t>();
    const std::uint64_t zeros = total;

    Ranges ranges;
    std::array<std::uint64_t, std::size_t{2} * kMaxBuckets> counts{};
    std::size_t buckets = 0;
    std::uint64_t greatest = 0;
    for (Range& range : ranges) {
        const auto first = in.read<std::int32_t>();
        const auto size = in.read<std::uint16_t>();
        if (size > kMaxBuckets || (size == 0 && first != 0) ||
            (size != 0 &&
             (first < (log_buckets::kFirst >> level) || first > (log_buckets::kLast >> level) - size + 1))) {
            ByteReader::corrupt("the buckets of a histogram");
        }
        range = {first, first + size};
        const std::size_t begin = buckets;
        buckets += size;
        for (std::size_t bucket = begin; bucket < buckets; ++bucket) {
            counts[bucket] = counter_bytes == 2   ? in.read<std::uint16_t>()
                             : counter_bytes == 4 ? in.read<std::uint32_t>()
                                                  : in.read<std::uint64_t>();
            greatest = std::max(greatest, counts[bucket]);
            if (__builtin_add_overflow(total, counts[bucket], &total)) {
                ByteReader::corrupt("the counts of a histogram");
            }
        }
        if (size != 0 && (counts[begin] == 0 || counts[buckets - 1] == 0)) {
            ByteReader::corrupt("the ends of a histogram are empty");
        }
    }
    // A collapse halves the number of buckets, so what made it necessary is still to be seen.
    if (bytes_for(greatest) != counter_bytes || total == 0 ||
        (level > 0 && 2 * std::max(ranges[0].size(), ranges[1].size()) <= kMaxBuckets)) {
        ByteReader::corrupt("a histogram is not in its smallest form");
    }

    LogHistogram histogram;
    histogram.rebuild(level, ranges, counter_bytes, pool);
    Block& block = histogram.head();
    block.zeros = zeros;
    with_counters(block.counters(), counter_bytes, [&]<typename Counter>(Counter* counters) {
        std::size_t next = 0;
        for (std::size_t sign = 0; sign < 2; ++sign) {
            for (std::int32_t bucket = ranges[sign].first; bucket < ranges[sign].end; ++bucket) {
                counters[block.start[sign] + bucket - block.first[sign]] =
                    static_cast<Counter>(counts[next++]);
            }
        }
    });
    return histogram;
}

}  // namespace llmopt_stream
