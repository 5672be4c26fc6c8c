#include "aggregate/hyper_log_log.hpp"

#include <array>
#include <bit>
#include <cmath>
#include <iterator>
#include <limits>
#include <numbers>
#include <string_view>
#include <vector>

namespace llmopt_stream {
namespace {

enum Form : std::uint8_t { kEmpty, kHashes, kRegisters };

/// x + sum of x^(2^k) * 2^(k-1) over k >= 1: what registers without hashes add.
double sigma(double x) noexcept {
    if (x == 1) {
        return std::numeric_limits<double>::infinity();
    }
    double factor = 1;
    double sum = x;
    for (double previous = -1; sum != previous;) {
        x *= x;
        previous = sum;
        sum += x * factor;
        factor *= 2;
    }
    return sum;
}

/// (1 - x - sum of (1 - x^(2^-k))^2 * 2^-k over k >= 1) / 3: what registers at their greatest rank add.
double tau(double x) noexcept {
    if (x == 0 || x == 1) {
        return 0;
    }
    double factor = 1;
    double sum = 1 - x;
    for (double previous = -1; sum != previous;) {
        x = std::sqrt(x);
        previous = sum;
        factor /= 2;
        sum -= (1 - x) * (1 - x) * factor;
    }
    return sum / 3;
}

}  // namespace

void HyperLogLog::count(std::uint64_t hash, int precision) noexcept {
    const std::uint64_t rest = hash << precision;
    const int rank = rest == 0 ? 65 - precision : std::countl_zero(rest) + 1;
    std::uint8_t& most = registers_[hash >> (64 - precision)];
    most = std::max(most, static_cast<std::uint8_t>(rank));
}

void HyperLogLog::make_registers(int precision, SizeClassPool& pool) {
    registers_.append(std::size_t{1} << precision, 0, pool);
    for (const std::uint64_t hash : hashes_) {
        count(hash, precision);
    }
    hashes_.destroy(pool);
}

void HyperLogLog::add(std::uint64_t hash, int precision, SizeClassPool& pool) {
    if (registers_.empty()) {
        const std::uint64_t* const at = std::lower_bound(hashes_.begin(), hashes_.end(), hash);
        if (at != hashes_.end() && *at == hash) {
            return;
        }
        if (hashes_.size() < exact_values(precision)) {
            hashes_.insert(static_cast<std::size_t>(at - hashes_.begin()), hash, pool);
            return;
        }
        make_registers(precision, pool);
    }
    count(hash, precision);
}

void HyperLogLog::merge(const HyperLogLog& other, int precision, SizeClassPool& pool) {
    if (registers_.empty() && other.registers_.empty()) {
        std::vector<std::uint64_t> both;
        std::set_union(hashes_.begin(), hashes_.end(), other.hashes_.begin(), other.hashes_.end(),
                       std::back_inserter(both));
        if (both.size() <= exact_values(precision)) {
            hashes_.shrink(0);
            hashes_.append(both, pool);
            return;
        }
    }
    if (registers_.empty()) {
        make_registers(precision, pool);
    }
    for (const std::uint64_t hash : other.hashes_) {
        count(hash, precision);
    }
    for (std::size_t at = 0; at < other.registers_.size(); ++at) {
        registers_[at] = std::max(registers_[at], other.registers_[at]);
    }
}

void HyperLogLog::destroy(SizeClassPool& pool) noexcept {
    hashes_.destroy(pool);
    registers_.destroy(pool);
}

std::int64_t HyperLogLog::estimate(int precision) const noexcept {
    if (registers_.empty()) {
        return static_cast<std::int64_t>(hashes_.size());
    }
    std::array<std::uint32_t, 66> having{};  // how many registers have each rank
    for (const std::uint8_t rank : registers_) {
        ++having[rank];
    }
    const auto registers = static_cast<double>(registers_.size());
    const auto greatest = static_cast<std::size_t>(65 - precision);
    double sum = registers * tau(1 - having[greatest] / registers);
    for (std::size_t rank = greatest - 1; rank >= 1; --rank) {
        sum = (sum + having[rank]) / 2;
    }
    sum += registers * sigma(having[0] / registers);
    // The constant of infinitely many registers, corrected for few (Flajolet et al. 2007, figure 3).
    const double correction = 1 / (1 + 1.079 / registers);
    const double estimate = correction * registers * registers / (2 * std::numbers::ln2 * sum);
    // Fewer would have been counted.
    const auto least = static_cast<std::int64_t>(exact_values(precision) + 1);
    return estimate < 0x1p63 ? std::max(std::llround(estimate), static_cast<long long>(least))
                             : std::numeric_limits<std::int64_t>::max();
}

void HyperLogLog::encode(ByteWriter& out) const {
    if (!registers_.empty()) {
        out.write<std::uint8_t>(kRegisters);
        out.write_bytes({reinterpret_cast<const char*>(registers_.begin()), registers_.size()});
        return;
    }
    out.write<std::uint8_t>(hashes_.empty() ? kEmpty : kHashes);
    if (!hashes_.empty()) {
        out.write<std::uint64_t>(hashes_.size());
        for (const std::uint64_t hash : hashes_) {
            out.write(hash);
        }
    }
}

HyperLogLog HyperLogLog::decode(ByteReader& in, int precision, SizeClassPool& pool) {
    HyperLogLog decoded;
    const auto form = in.read<std::uint8_t>();
    if (form == kHashes) {
        std::vector<std::uint64_t> hashes(in.read_count(sizeof(std::uint64_t)));
        for (std::uint64_t& hash : hashes) {
            hash = in.read<std::uint64_t>();
        }
        if (hashes.empty() || hashes.size() > exact_values(precision) ||
            std::adjacent_find(hashes.begin(), hashes.end(), std::greater_equal<>()) != hashes.end()) {
            ByteReader::corrupt("the hashes of different values");
        }
        decoded.hashes_.append(hashes, pool);
    } else if (form == kRegisters) {
        const std::string_view bytes = in.read_bytes();
        const auto rank_of = [](char byte) { return static_cast<std::uint8_t>(byte); };
        if (bytes.size() != std::size_t{1} << precision ||
            std::all_of(bytes.begin(), bytes.end(), [](char byte) { return byte == 0; }) ||
            std::any_of(bytes.begin(), bytes.end(),
                        [&](char byte) { return rank_of(byte) > 65 - precision; })) {
            ByteReader::corrupt("the registers of different values");
        }
        decoded.registers_.reserve(bytes.size(), pool);
        for (const char byte : bytes) {
            decoded.registers_.push_back(rank_of(byte), pool);
        }
    } else if (form != kEmpty) {
        ByteReader::corrupt("how different values are counted");
    }
    return decoded;
}

}  // namespace llmopt_stream
