#include "operator/key_limit.hpp"

#include <algorithm>
#include <string>
#include <utility>

#include "record/error.hpp"

namespace llmopt_stream {
namespace {

constexpr auto kLater = [](const auto& a, const auto& b) { return a.time > b.time; };

}  // namespace

void KeyLimit::choose(const RecordBatch& batch, std::span<const Timestamp> watermark_before,
                      std::vector<std::uint32_t>& chosen) {
    hashes_.assign(batch.keys->size(), ValueHash{});
    std::size_t kept = 0;
    for (const std::uint32_t record : chosen) {
        ValueHash& key = hashes_[batch.key[record]];
        if (key == ValueHash{}) {
            key = ValueHash::of(batch.keys->key(batch.key[record]));
        }
        if (admit(key, batch.event_time[record], watermark_before[record])) {
            chosen[kept++] = record;
        } else if (plan_.fails) {
            throw Error(ErrorKind::kState,
                        "with_limits: keys: more than " + std::to_string(plan_.most_keys) +
                            " keys are live; raise the limit, or shed records of further keys "
                            "with policy=\"shed\"");
        }
    }
    chosen.resize(kept);
}

bool KeyLimit::admit(const ValueHash& key, Timestamp time, Timestamp watermark_before) {
    forget_expired(watermark_before);
    const Timestamp expiry = add_saturating(time, plan_.horizon);
    const auto known = expiry_.find(key);
    if (known != expiry_.end()) {
        known->second = std::max(known->second, expiry);
        return true;
    }
    if (expiry_.size() >= plan_.most_keys) {
        return false;
    }
    // A record that is late for everything leaves no state.
    if (expiry > watermark_before) {
        expiry_.emplace(key, expiry);
        push_due({expiry, key});
    }
    return true;
}

void KeyLimit::push_due(const Due& due) {
    due_.push_back(due);
    std::push_heap(due_.begin(), due_.end(), kLater);
}

void KeyLimit::forget_expired(Timestamp watermark) {
    while (!due_.empty() && due_.front().time <= watermark) {
        std::pop_heap(due_.begin(), due_.end(), kLater);
        const Due due = due_.back();
        due_.pop_back();
        const auto known = expiry_.find(due.key);
        if (known->second <= watermark) {
            expiry_.erase(known);
        } else {
            push_due({known->second, due.key});
        }
    }
}

void KeyLimit::on_watermark(Timestamp watermark) {
    forget_expired(watermark);
    if (expiry_.empty()) {
        expiry_ = {};
        due_ = {};
    }
}

std::size_t KeyLimit::state_bytes() const noexcept {
    // A node of the map has a link besides.
    return expiry_.size() * (sizeof(ValueHash) + sizeof(Timestamp) + sizeof(void*)) +
           expiry_.bucket_count() * (expiry_.empty() ? 0 : sizeof(void*)) + due_.capacity() * sizeof(Due);
}

void KeyLimit::encode(ByteWriter& out) const {
    std::vector<std::pair<ValueHash, Timestamp>> keys(expiry_.begin(), expiry_.end());
    std::sort(keys.begin(), keys.end());
    out.write<std::uint64_t>(keys.size());
    for (const auto& [key, expiry] : keys) {
        out.write(key.low);
        out.write(key.high);
        out.write(expiry);
    }
}

void KeyLimit::decode(ByteReader& in) {
    const std::uint64_t keys = in.read_count(3 * sizeof(std::uint64_t));
    for (std::uint64_t at = 0; at < keys; ++at) {
        ValueHash key;
        key.low = in.read<std::uint64_t>();
        key.high = in.read<std::uint64_t>();
        const auto expiry = in.read<Timestamp>();
        if (!expiry_.emplace(key, expiry).second) {
            ByteReader::corrupt("a key occurs twice in a limit");
        }
        push_due({expiry, key});
    }
}

}  // namespace llmopt_stream
