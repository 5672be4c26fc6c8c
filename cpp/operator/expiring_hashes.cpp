#include "operator/expiring_hashes.hpp"

#include <algorithm>

namespace llmopt_stream {
namespace {

constexpr std::size_t kFewestSlots = 16;
constexpr Duration kTtlsPerEpoch = 16;
constexpr std::uint64_t kGolden = 0x9E3779B97F4A7C15;  // 2^64 / the golden ratio

std::uint64_t distance(Timestamp a, Timestamp b) noexcept {
    return a < b ? static_cast<std::uint64_t>(b) - static_cast<std::uint64_t>(a)
                 : static_cast<std::uint64_t>(a) - static_cast<std::uint64_t>(b);
}

}  // namespace

ExpiringHashes::ExpiringHashes(Duration ttl) noexcept
    : ttl_(ttl), epoch_(ttl > kMaxTimestamp / kTtlsPerEpoch ? kMaxTimestamp : ttl * kTtlsPerEpoch) {}

ExpiringHashes::Epoch ExpiringHashes::epoch_of(Timestamp time) const noexcept {
    const std::int64_t quotient = time / epoch_;
    const Duration remainder = time - quotient * epoch_;
    return remainder < 0 ? Epoch{quotient - 1, remainder + epoch_} : Epoch{quotient, remainder};
}

std::size_t ExpiringHashes::home(const ValueHash& hash, std::int64_t epoch) const noexcept {
    return scaled(hash.high + static_cast<std::uint64_t>(epoch) * kGolden, slots_.size());
}

bool ExpiringHashes::is_near(const Entry& entry, Timestamp time) const noexcept {
    return distance(entry.time, time) < static_cast<std::uint64_t>(ttl_);
}

void ExpiringHashes::prefetch(const ValueHash& hash, Timestamp time) const noexcept {
    if (!slots_.empty()) {
        const char* const slot =
            reinterpret_cast<const char*>(slots_.data() + home(hash, epoch_of(time).number));
        __builtin_prefetch(slot, 1);
        __builtin_prefetch(slot + 64, 1);
    }
}

bool ExpiringHashes::finds(const ValueHash& hash, Timestamp time, std::int64_t epoch,
                           Timestamp watermark) const noexcept {
    for (std::size_t at = home(hash, epoch); !slots_[at].hash.is_zero(); at = next(at)) {
        const Entry& entry = slots_[at];
        if (entry.hash == hash && is_near(entry, time) && is_live(entry, watermark)) {
            return true;
        }
    }
    return false;
}

bool ExpiringHashes::accept(const ValueHash& hash, Timestamp time, Timestamp watermark) {
    const bool remembered = watermark < add_saturating(time, ttl_);
    if (remembered && taken_ == most_taken_) {
        sweep(watermark);
        if (slots_.empty()) {
            resize(kFewestSlots);
        }
    }
    if (slots_.empty()) {
        return true;
    }
    const auto [epoch, into] = epoch_of(time);
    // The expired entry or the empty slot that the new entry may take.
    Entry* place = nullptr;
    for (std::size_t at = home(hash, epoch);; at = next(at)) {
        Entry& entry = slots_[at];
        if (entry.hash.is_zero()) {
            if (place == nullptr) {
                place = &entry;
            }
            break;
        }
        if (!is_live(entry, watermark)) {
            if (place == nullptr) {
                place = &entry;
            }
        } else if (entry.hash == hash && is_near(entry, time)) {
            return false;
        }
    }
    if ((into < ttl_ - 1 && finds(hash, time, epoch - 1, watermark)) ||
        (into > epoch_ - ttl_ && finds(hash, time, epoch + 1, watermark))) {
        return false;
    }
    if (remembered) {
        if (place->hash.is_zero() && taken_++ == 0) {
            next_drop_ = add_saturating(time, ttl_);
        }
        *place = {hash, time};
    }
    return true;
}

void ExpiringHashes::drop_expired(Timestamp watermark) {
    if (taken_ != 0 && watermark >= next_drop_) {
        sweep(watermark);
    }
}

void ExpiringHashes::put(const Entry& entry) noexcept {
    std::size_t at = home(entry.hash, epoch_of(entry.time).number);
    while (!slots_[at].hash.is_zero()) {
        at = next(at);
    }
    slots_[at] = entry;
    ++taken_;
}

void ExpiringHashes::sweep(Timestamp watermark) {
    if (taken_ == 0) {
        return;
    }
    std::size_t at = 0;
    while (!slots_[at].hash.is_zero()) {
        ++at;
    }
    // From an empty slot on, every entry lies at its home or after it, with no empty slot between:
    // taken out and put again in this order, none moves onto one that is still to be seen.
    taken_ = 0;
    Timestamp latest = kMinTimestamp;
    for (std::size_t seen = 1; seen < slots_.size(); ++seen) {
        at = next(at);
        const Entry entry = slots_[at];
        if (entry.hash.is_zero()) {
            continue;
        }
        slots_[at] = {};
        if (is_live(entry, watermark)) {
            latest = std::max(latest, entry.time);
            put(entry);
        }
    }
    next_drop_ = add_saturating(latest, ttl_);
    if (taken_ == 0) {
        release();
    } else if (taken_ > slots_.size() / 2 || (taken_ < slots_.size() / 8 && slots_.size() > kFewestSlots)) {
        resize(2 * taken_);
    }
}

void ExpiringHashes::resize(std::size_t slots) {
    std::vector<Entry> old(std::max(slots, kFewestSlots));
    old.swap(slots_);
    most_taken_ = slots_.size() - slots_.size() / 4;
    taken_ = 0;
    for (const Entry& entry : old) {
        if (!entry.hash.is_zero()) {
            put(entry);
        }
    }
}

void ExpiringHashes::release() noexcept {
    std::vector<Entry>().swap(slots_);
    taken_ = 0;
    most_taken_ = 0;
    next_drop_ = kMaxTimestamp;
}

std::size_t ExpiringHashes::live(Timestamp watermark) const noexcept {
    return static_cast<std::size_t>(std::count_if(slots_.begin(), slots_.end(), [&](const Entry& entry) {
        return !entry.hash.is_zero() && is_live(entry, watermark);
    }));
}

void ExpiringHashes::encode(ByteWriter& out, Timestamp watermark) const {
    std::vector<Entry> entries;
    entries.reserve(taken_);
    for (const Entry& entry : slots_) {
        if (!entry.hash.is_zero() && is_live(entry, watermark)) {
            entries.push_back(entry);
        }
    }
    std::sort(entries.begin(), entries.end());
    out.write<std::uint64_t>(entries.size());
    for (const Entry& entry : entries) {
        out.write(entry.hash.high);
        out.write(entry.hash.low);
        out.write(entry.time);
    }
}

void ExpiringHashes::decode(ByteReader& in, Timestamp watermark) {
    const std::size_t size = in.read_count(sizeof(Entry));
    release();
    if (size == 0) {
        return;
    }
    resize(2 * size);
    Entry previous;
    Timestamp latest = kMinTimestamp;
    for (std::size_t read = 0; read < size; ++read) {
        Entry entry;
        entry.hash.high = in.read<std::uint64_t>();
        entry.hash.low = in.read<std::uint64_t>();
        entry.time = in.read<Timestamp>();
        if (entry.hash.is_zero() || entry <= previous || !is_live(entry, watermark) ||
            (entry.hash == previous.hash && is_near(entry, previous.time))) {
            ByteReader::corrupt("the values seen by deduplicate");
        }
        put(entry);
        latest = std::max(latest, entry.time);
        previous = entry;
    }
    next_drop_ = add_saturating(latest, ttl_);
}

}  // namespace llmopt_stream
