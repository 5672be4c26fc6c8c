#include "window/key_order.hpp"

#include <algorithm>
#include <array>
#include <cstring>
#include <string_view>
#include <utility>

namespace llmopt_stream {
namespace {

// Below that, passes over all values of a byte cost more than comparisons.
constexpr std::size_t kWorthDigits = 512;
// So many keys take as long as one comes from memory.
constexpr std::size_t kAhead = 16;

std::size_t common_bytes(std::string_view a, std::string_view b) noexcept {
    return static_cast<std::size_t>(std::mismatch(a.begin(), a.end(), b.begin(), b.end()).first - a.begin());
}

/// The first eight bytes, zeros where there are fewer.
std::uint64_t first_bytes(std::string_view text) noexcept {
    std::uint64_t bytes = 0;
    if (text.size() >= sizeof(bytes)) {
        std::memcpy(&bytes, text.data(), sizeof(bytes));
        return __builtin_bswap64(bytes);
    }
    for (std::size_t i = 0; i < text.size(); ++i) {
        bytes |= std::uint64_t{static_cast<unsigned char>(text[i])} << (8 * (7 - i));
    }
    return bytes;
}

}  // namespace

std::span<const std::uint32_t> KeyOrder::places_of(std::span<const KeyInterner::Code> codes) {
    places_.clear();
    if (codes.empty()) {
        return places_;
    }
    const std::string_view first = keys_->key(codes.front());
    std::size_t common = first.size();
    for (std::size_t place = 0; place < codes.size(); ++place) {
        keys_->prefetch(codes[std::min(place + 2 * kAhead, codes.size() - 1)]);
        keys_->prefetch_key(codes[std::min(place + kAhead, codes.size() - 1)]);
        common = common_bytes(first.substr(0, common), keys_->key(codes[place]));
    }
    items_.clear();
    for (std::uint32_t place = 0; place < codes.size(); ++place) {
        keys_->prefetch_key(codes[std::min(place + kAhead, codes.size() - 1)]);
        items_.push_back({first_bytes(keys_->key(codes[place]).substr(common)), place});
    }
    sort_by_bytes();
    for (auto begin = items_.begin(); begin != items_.end();) {
        const auto end = std::find_if(begin + 1, items_.end(),
                                      [&](const Item& item) { return item.bytes != begin->bytes; });
        if (end - begin > 1) {
            std::sort(begin, end, [&](const Item& a, const Item& b) {
                return keys_->key(codes[a.place]) < keys_->key(codes[b.place]);
            });
        }
        begin = end;
    }
    for (const Item& item : items_) {
        places_.push_back(item.place);
    }
    return places_;
}

void KeyOrder::sort_by_bytes() {
    std::uint64_t varying = 0;
    bool is_sorted = true;
    for (std::size_t i = 1; i < items_.size(); ++i) {
        varying |= items_[i].bytes ^ items_[0].bytes;
        is_sorted = is_sorted && items_[i - 1].bytes <= items_[i].bytes;
    }
    if (is_sorted) {
        return;
    }
    if (items_.size() >= kWorthDigits) {
        sort_by_digits(varying);
    } else {
        std::sort(items_.begin(), items_.end(),
                  [](const Item& a, const Item& b) { return a.bytes < b.bytes; });
    }
}

/// A radix sort by the bytes that differ, the least significant one first.
void KeyOrder::sort_by_digits(std::uint64_t varying) {
    sorted_.resize(items_.size());
    for (unsigned shift = 0; shift < 64; shift += 8) {
        if ((varying >> shift & 0xFF) == 0) {
            continue;
        }
        std::array<std::size_t, 256> next{};
        for (const Item& item : items_) {
            ++next[item.bytes >> shift & 0xFF];
        }
        std::size_t begin = 0;
        for (std::size_t& place : next) {
            begin += std::exchange(place, begin);
        }
        for (const Item& item : items_) {
            sorted_[next[item.bytes >> shift & 0xFF]++] = item;
        }
        items_.swap(sorted_);
    }
}

}  // namespace llmopt_stream
