#include "operator/scalable_bloom_filter.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <utility>

namespace llmopt_stream {
namespace {

constexpr int kMostProbes = 255;

/// The bits of a hash in a filter: a linear congruential sequence for each hash. (The cheaper
/// h1 + i * h2 would exceed small rates in small filters.)
class Probe {
public:
    Probe(const ValueHash& hash, std::size_t bits) noexcept
        : state_(hash.high), increment_(hash.low | 1), bits_(bits) {}
    std::size_t next() noexcept {
        const std::size_t bit = scaled(state_, bits_);
        state_ = state_ * 6364136223846793005U + increment_;
        return bit;
    }

private:
    std::uint64_t state_;
    std::uint64_t increment_;
    std::size_t bits_;
};

std::uint64_t mask_of(std::size_t bit) noexcept { return std::uint64_t{1} << (bit % 64); }

[[noreturn]] void corrupt() { ByteReader::corrupt("the filters of deduplicate"); }

}  // namespace

ScalableBloomFilter::ScalableBloomFilter(double rate, std::uint64_t expected) : rate_(rate) {
    extend(std::max(expected, kFewestExpected));
}

double ScalableBloomFilter::next_rate() const noexcept {
    return std::ldexp(rate_, -static_cast<int>(filters_.size()) - 1);
}

int ScalableBloomFilter::probes_for(double rate) noexcept {
    return static_cast<int>(std::clamp(std::round(-std::log2(rate)), 1.0, double{kMostProbes}));
}

double ScalableBloomFilter::words_for(double rate, int probes, std::uint64_t capacity) noexcept {
    // Of the bits a share of 1 - exp(-probes * capacity / bits) is set in the end, and `probes` of
    // them being set by chance is to have the probability `rate`.
    const double share = std::pow(rate, 1.0 / probes);
    const double bits = -probes * static_cast<double>(capacity) / std::log1p(-share);
    return std::ceil(bits / 64);
}

void ScalableBloomFilter::extend(std::uint64_t capacity) {
    const double rate = next_rate();
    const int probes = probes_for(rate);
    filters_.push_back(
        {capacity, probes,
         std::vector<std::uint64_t>(static_cast<std::size_t>(words_for(rate, probes, capacity)))});
    capacity_ = capacity;
}

bool ScalableBloomFilter::contains(const ValueHash& hash) const noexcept {
    return std::any_of(filters_.rbegin(), filters_.rend(), [&](const Filter& filter) {
        Probe probe(hash, 64 * filter.words.size());
        for (int left = filter.probes; left > 0; --left) {
            const std::size_t bit = probe.next();
            if ((filter.words[bit / 64] & mask_of(bit)) == 0) {
                return false;
            }
        }
        return true;
    });
}

void ScalableBloomFilter::add(const ValueHash& hash) {
    if (filters_.back().room == 0) {
        extend(2 * capacity_);
    }
    Filter& filter = filters_.back();
    Probe probe(hash, 64 * filter.words.size());
    for (int left = filter.probes; left > 0; --left) {
        const std::size_t bit = probe.next();
        filter.words[bit / 64] |= mask_of(bit);
    }
    --filter.room;
    ++size_;
}

std::size_t ScalableBloomFilter::allocated_bytes() const noexcept {
    std::size_t bytes = filters_.capacity() * sizeof(Filter);
    for (const Filter& filter : filters_) {
        bytes += filter.words.capacity() * sizeof(std::uint64_t);
    }
    return bytes;
}

void ScalableBloomFilter::encode(ByteWriter& out) const {
    out.write(size_);
    out.write(capacity_);
    out.write(static_cast<std::uint8_t>(filters_.size()));
    for (const Filter& filter : filters_) {
        out.write(static_cast<std::uint8_t>(filter.probes));
        out.write<std::uint64_t>(filter.words.size());
        for (const std::uint64_t word : filter.words) {
            out.write(word);
        }
    }
}

ScalableBloomFilter ScalableBloomFilter::decode(ByteReader& in, double rate) {
    ScalableBloomFilter decoded(rate);
    decoded.size_ = in.read<std::uint64_t>();
    decoded.capacity_ = in.read<std::uint64_t>();
    const auto filters = in.read<std::uint8_t>();
    if (filters == 0 || filters > 64 || std::countr_zero(decoded.capacity_) < filters - 1 ||
        decoded.capacity_ >> (filters - 1) < kFewestExpected) {
        corrupt();
    }
    std::uint64_t left = decoded.size_;
    for (int last = filters - 1; last >= 0; --last) {
        const std::uint64_t capacity = decoded.capacity_ >> last;
        const std::uint64_t added = std::min(capacity, left);
        // A filter follows only a full one, and holds something.
        if (added == 0 || (last == 0 && left > capacity)) {
            corrupt();
        }
        left -= added;
        const double filter_rate = decoded.next_rate();
        Filter filter{capacity - added, in.read<std::uint8_t>(), {}};
        const std::size_t words = in.read_count(sizeof(std::uint64_t));
        // The logarithm of another machine may have rounded otherwise.
        if (std::abs(filter.probes - probes_for(filter_rate)) > 1 || filter.probes < 1 || words == 0 ||
            std::fabs(static_cast<double>(words) - words_for(filter_rate, filter.probes, capacity)) > 1) {
            corrupt();
        }
        filter.words.resize(words);
        std::uint64_t set = 0;
        for (std::uint64_t& word : filter.words) {
            word = in.read<std::uint64_t>();
            set += static_cast<std::uint64_t>(std::popcount(word));
        }
        if (set == 0 || set > added * static_cast<std::uint64_t>(filter.probes)) {
            corrupt();
        }
        decoded.filters_.push_back(std::move(filter));
    }
    return decoded;
}

}  // namespace llmopt_stream
