#include "operator/expiring_filters.hpp"

#include <iterator>

namespace llmopt_stream {
namespace {

constexpr Duration kGenerationsPerTtl = 8;
/// So many generations at most hold times less than ttl away from one time: the 2 * ttl - 1 times
/// around it are fewer than 16 generations long and may begin within one.
constexpr double kMostNear = 17;

}  // namespace

ExpiringFilters::ExpiringFilters(Duration ttl, double rate) noexcept
    : ttl_(ttl),
      generation_(ttl / kGenerationsPerTtl + (ttl % kGenerationsPerTtl != 0 ? 1 : 0)),
      rate_(rate / kMostNear) {}

Timestamp ExpiringFilters::last_of_generation(Timestamp time) const noexcept {
    return add_saturating(time, generation_ - 1 - floor_mod(time, generation_));
}

bool ExpiringFilters::accept(const ValueHash& hash, Timestamp time, Timestamp watermark) {
    const Timestamp last_near = last_of_generation(add_saturating(time, ttl_ - 1));
    for (auto at = generations_.lower_bound(add_saturating(time, -(ttl_ - 1)));
         at != generations_.end() && at->first <= last_near; ++at) {
        if (is_live(at->first, watermark) && at->second.contains(hash)) {
            return false;
        }
    }
    if (watermark < add_saturating(time, ttl_)) {
        add(hash, time, watermark);
    }
    return true;
}

void ExpiringFilters::add(const ValueHash& hash, Timestamp time, Timestamp watermark) {
    const Timestamp last = last_of_generation(time);
    auto at = generations_.lower_bound(last);
    if (at == generations_.end() || at->first != last) {
        // It is expected to become an eighth larger than the generation before it is by now; an
        // expired one does not count, for it may have been dropped.
        std::uint64_t expected = 0;
        if (at != generations_.begin()) {
            const auto before = std::prev(at);
            if (before->first >= add_saturating(last, -generation_) && is_live(before->first, watermark)) {
                expected = before->second.size() + before->second.size() / 8;
            }
        }
        at = generations_.emplace_hint(at, last, ScalableBloomFilter(rate_, expected));
    }
    at->second.add(hash);
}

void ExpiringFilters::drop_expired(Timestamp watermark) {
    while (!generations_.empty() && !is_live(generations_.begin()->first, watermark)) {
        generations_.erase(generations_.begin());
    }
}

std::size_t ExpiringFilters::live(Timestamp watermark) const noexcept {
    std::size_t hashes = 0;
    for (const auto& [last, filter] : generations_) {
        hashes += is_live(last, watermark) ? filter.size() : 0;
    }
    return hashes;
}

std::size_t ExpiringFilters::allocated_bytes() const noexcept {
    constexpr std::size_t kNode = sizeof(Generations::value_type) + 4 * sizeof(void*);
    std::size_t bytes = 0;
    for (const auto& [last, filter] : generations_) {
        bytes += kNode + filter.allocated_bytes();
    }
    return bytes;
}

void ExpiringFilters::encode(ByteWriter& out, Timestamp watermark) const {
    std::uint64_t live = 0;
    for (const auto& [last, filter] : generations_) {
        live += is_live(last, watermark) ? 1 : 0;
    }
    out.write(live);
    for (const auto& [last, filter] : generations_) {
        if (is_live(last, watermark)) {
            out.write(last);
            filter.encode(out);
        }
    }
}

void ExpiringFilters::decode(ByteReader& in, Timestamp watermark) {
    generations_.clear();
    const std::uint64_t size = in.read_count(sizeof(Timestamp));
    for (std::uint64_t read = 0; read < size; ++read) {
        const auto last = in.read<Timestamp>();
        if (last != last_of_generation(last) || !is_live(last, watermark) ||
            (!generations_.empty() && last <= generations_.rbegin()->first)) {
            ByteReader::corrupt("the generations of deduplicate");
        }
        generations_.emplace_hint(generations_.end(), last, ScalableBloomFilter::decode(in, rate_));
    }
}

}  // namespace llmopt_stream
