#include "aggregate/space_saving.hpp"

#include <algorithm>
#include <functional>
#include <limits>
#include <span>

#include "aggregate/label.hpp"
#include "record/int128.hpp"
#include "record/key.hpp"

namespace llmopt_stream {
namespace {

constexpr std::size_t kLeastIndex = 8;

}  // namespace

SpaceSaving::Entry* SpaceSaving::find(std::string_view value, std::uint64_t hash) const noexcept {
    const std::size_t mask = index_.size() - 1;
    for (std::size_t at = hash & mask; !index_.empty() && index_[at] != 0; at = (at + 1) & mask) {
        Entry& entry = entries_[index_[at] - 1];
        if (entry.hash == hash && entry.value.view() == value) {
            return &entry;
        }
    }
    return nullptr;
}

void SpaceSaving::index_all() noexcept {
    const std::size_t mask = index_.size() - 1;
    std::fill(index_.begin(), index_.end(), 0);
    for (std::size_t entry = 0; entry < entries_.size(); ++entry) {
        std::size_t at = entries_[entry].hash & mask;
        while (index_[at] != 0) {
            at = (at + 1) & mask;
        }
        index_[at] = static_cast<std::uint32_t>(entry + 1);
    }
}

void SpaceSaving::insert(std::string_view value, std::uint64_t hash, std::uint64_t count, std::uint64_t error,
                         SizeClassPool& pool) {
    entries_.push_back({hash, count, error, PoolText(value, pool)}, pool);
    if (2 * entries_.size() > index_.size()) {
        index_.append(std::max(kLeastIndex, index_.size()), 0, pool);
        index_all();
        return;
    }
    const std::size_t mask = index_.size() - 1;
    std::size_t at = hash & mask;
    while (index_[at] != 0) {
        at = (at + 1) & mask;
    }
    index_[at] = static_cast<std::uint32_t>(entries_.size());
}

void SpaceSaving::add(std::string_view value, std::uint64_t hash, std::size_t capacity, SizeClassPool& pool) {
    ++total_;
    if (Entry* const entry = find(value, hash); entry != nullptr) {
        ++entry->count;
        return;
    }
    insert(value, hash, floor_ + 1, floor_, pool);
    drop_least(capacity, pool);
}

void SpaceSaving::drop_least(std::size_t capacity, SizeClassPool& pool) {
    if (entries_.size() <= 2 * capacity) {
        return;
    }
    // capacity + 1 values at least lose what the floor rises by: hence its bound.
    std::vector<std::uint64_t> counts;
    for (const Entry& entry : entries_) {
        counts.push_back(entry.count);
    }
    const auto next = counts.begin() + static_cast<std::ptrdiff_t>(capacity);
    std::nth_element(counts.begin(), next, counts.end(), std::greater<>());
    floor_ = *next;
    std::size_t kept = 0;
    for (Entry& entry : entries_) {
        if (entry.count > floor_) {
            entries_[kept++] = entry;
        } else {
            entry.value.destroy(pool);
        }
    }
    entries_.shrink(kept);
    index_all();
}

void SpaceSaving::merge(const SpaceSaving& other, std::size_t capacity, SizeClassPool& pool) {
    const std::uint64_t own_floor = floor_;
    floor_ += other.floor_;
    total_ += other.total_;
    for (Entry& entry : entries_) {
        entry.count += other.floor_;
        entry.error += other.floor_;
    }
    for (const Entry& added : other.entries_) {
        if (Entry* const entry = find(added.value.view(), added.hash); entry != nullptr) {
            entry->count = entry->count - other.floor_ + added.count;
            entry->error = entry->error - other.floor_ + added.error;
        } else {
            insert(added.value.view(), added.hash, own_floor + added.count, own_floor + added.error, pool);
        }
    }
    drop_least(capacity, pool);
}

void SpaceSaving::destroy(SizeClassPool& pool) noexcept {
    for (Entry& entry : entries_) {
        entry.value.destroy(pool);
    }
    entries_.destroy(pool);
    index_.destroy(pool);
    total_ = floor_ = 0;
}

std::vector<SpaceSaving::Count> SpaceSaving::top(std::size_t most) const {
    std::vector<Count> counts;
    for (const Entry& entry : entries_) {
        counts.push_back({entry.value.view(), entry.count, entry.error});
    }
    const std::size_t size = std::min(most, counts.size());
    std::partial_sort(counts.begin(), counts.begin() + static_cast<std::ptrdiff_t>(size), counts.end(),
                      [](const Count& a, const Count& b) {
                          return a.count != b.count ? a.count > b.count : a.value < b.value;
                      });
    counts.resize(size);
    return counts;
}

void SpaceSaving::encode(ByteWriter& out) const {
    out.write(total_);
    if (total_ == 0) {
        return;
    }
    out.write(floor_);
    const std::vector<Count> all = top(entries_.size());
    out.write<std::uint64_t>(all.size());
    for (const Count& each : all) {
        out.write_bytes(each.value);
        out.write(each.count);
        out.write(each.error);
    }
}

SpaceSaving SpaceSaving::decode(ByteReader& in, std::size_t capacity, SizeClassPool& pool) {
    SpaceSaving decoded;
    decoded.total_ = in.read<std::uint64_t>();
    if (decoded.total_ == 0) {
        return decoded;
    }
    decoded.floor_ = in.read<std::uint64_t>();
    const std::uint64_t size = in.read_count(3 * sizeof(std::uint64_t));
    if (size > 2 * capacity) {
        ByteReader::corrupt("the number of frequent values");
    }
    try {
        UInt128 above = UInt128{decoded.floor_} * (capacity + 1);
        std::uint64_t previous = std::numeric_limits<std::uint64_t>::max();
        for (std::uint64_t at = 0; at < size; ++at) {
            const std::string_view value = read_label(in);
            const auto count = in.read<std::uint64_t>();
            const auto error = in.read<std::uint64_t>();
            const std::uint64_t hash = hash_key(value);
            if (count <= decoded.floor_ || count > previous || error > decoded.floor_ ||
                decoded.find(value, hash) != nullptr) {
                ByteReader::corrupt("the count of a frequent value");
            }
            previous = count;
            above += count - decoded.floor_;
            decoded.insert(value, hash, count, error, pool);
        }
        if (above > decoded.total_ || (decoded.floor_ == 0 && above != decoded.total_)) {
            ByteReader::corrupt("the counts of frequent values");
        }
    } catch (...) {
        decoded.destroy(pool);
        throw;
    }
    return decoded;
}

}  // namespace llmopt_stream
