#include "operator/deduplication.hpp"

#include <algorithm>
#include <string>
#include <utility>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "record/error.hpp"

namespace llmopt_stream {
namespace {

/// No filter that keeps a smaller rate is smaller than what is exact.
constexpr double kLeastFilterRate = 1e-9;

/// A table is asked for a slot so many records before it is read.
constexpr std::size_t kAhead = 16;

enum Form : std::uint8_t { kExact = 0, kFilters = 1 };

}  // namespace

ValueHash ValueHash::of(std::string_view encoded) noexcept {
    const XXH128_hash_t hash = XXH3_128bits(encoded.data(), encoded.size());
    return {hash.high64, (hash.high64 | hash.low64) == 0 ? 1 : hash.low64};
}

Deduplication::Memory Deduplication::memory_of(const DeduplicationPlan& plan) {
    if (plan.ttl <= 0) {
        throw Error(ErrorKind::kConfiguration, "deduplicate: ttl must be greater than 0");
    }
    if (!plan.false_positive_rate) {
        return ExpiringHashes(plan.ttl);
    }
    const double rate = *plan.false_positive_rate;
    if (!(rate > 0 && rate < 1)) {
        throw Error(
            ErrorKind::kConfiguration,
            "deduplicate: the false positive rate must lie between 0 and 1, not " + std::to_string(rate));
    }
    if (rate < kLeastFilterRate) {
        return ExpiringHashes(plan.ttl);
    }
    return ExpiringFilters(plan.ttl, rate);
}

Deduplication::Deduplication(const DeduplicationPlan& plan) : plan_(plan), memory_(memory_of(plan)) {}

const ValueHash& Deduplication::hash_of(std::uint32_t code, const KeyDictionary& values) {
    ValueHash& hash = hashes_[code];
    if (hash.is_zero()) {
        hash = ValueHash::of(values.key(code));
    }
    return hash;
}

void Deduplication::on_batch(std::span<const std::uint32_t> code, const KeyDictionary& values,
                             std::span<const Timestamp> event_time,
                             std::span<const Timestamp> watermark_before,
                             std::vector<std::uint32_t>& accepted) {
    if (values.id() != hashed_dictionary_) {
        hashed_dictionary_ = values.id();
        hashes_.clear();
    }
    hashes_.resize(values.size());
    std::visit(
        [&](auto& memory) {
            const auto prefetch = [&](std::size_t record) {
                memory.prefetch(hash_of(code[record], values), event_time[record]);
            };
            const std::size_t size = code.size();
            for (std::size_t record = 0; record < std::min(kAhead, size); ++record) {
                prefetch(record);
            }
            for (std::size_t record = 0; record < size; ++record) {
                if (record + kAhead < size) {
                    prefetch(record + kAhead);
                }
                watermark_ = std::max(watermark_, watermark_before[record]);
                if (memory.accept(hashes_[code[record]], event_time[record], watermark_)) {
                    accepted.push_back(static_cast<std::uint32_t>(record));
                }
            }
        },
        memory_);
    on_watermark(watermark_);
}

void Deduplication::on_watermark(Timestamp watermark) {
    watermark_ = std::max(watermark_, watermark);
    std::visit([&](auto& memory) { memory.drop_expired(watermark_); }, memory_);
}

std::size_t Deduplication::live() const noexcept {
    return std::visit([&](const auto& memory) { return memory.live(watermark_); }, memory_);
}

std::size_t Deduplication::state_bytes() const noexcept {
    return std::visit([](const auto& memory) { return memory.allocated_bytes(); }, memory_);
}

void Deduplication::encode(ByteWriter& out) const {
    out.write<std::uint8_t>(std::holds_alternative<ExpiringHashes>(memory_) ? kExact : kFilters);
    out.write(watermark_);
    std::visit([&](const auto& memory) { memory.encode(out, watermark_); }, memory_);
}

void Deduplication::decode(ByteReader& in) {
    Memory memory = memory_of(plan_);
    if (in.read<std::uint8_t>() != (std::holds_alternative<ExpiringHashes>(memory) ? kExact : kFilters)) {
        ByteReader::corrupt("how deduplicate tells values apart");
    }
    const auto watermark = in.read<Timestamp>();
    std::visit([&](auto& decoded) { decoded.decode(in, watermark); }, memory);
    memory_ = std::move(memory);
    watermark_ = watermark;
}

}  // namespace llmopt_stream
