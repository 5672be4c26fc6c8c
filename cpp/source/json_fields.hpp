#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "record/schema.hpp"

namespace llmopt_stream {

/// What a field of a record is read for.
struct JsonTarget {
    enum class Role : std::uint8_t { kTime, kKey, kValue, kLabel };
    Role role;
    /// The key field, the value column or the label column.
    std::size_t index;
};

/// The schema's dotted paths as levels of objects. On its way down a path addresses a nested object whose
/// name is any number of its segments, or a field whose name is all that remains: `a.b.c` is found in
/// {"a":{"b":{"c":1}}}, {"a":{"b.c":1}}, {"a.b":{"c":1}} and {"a.b.c":1}. What remains is looked up
/// in one level however the way to it was spelled.
class JsonFields {
public:
    static constexpr std::uint32_t kNoLevel = UINT32_MAX;

    struct Field {
        std::string name;
        /// The first eight bytes of the name, zeros where it is shorter.
        std::uint64_t prefix = 0;
        std::vector<JsonTarget> targets;
        /// Where fields of this object are looked up, if any are read.
        std::uint32_t level = kNoLevel;
        /// The object in which this field was seen last: twice in one is a duplicate.
        std::uint64_t seen_in_object = 0;
    };
    struct Level {
        std::vector<Field> fields;
        /// One bit of 64 for each name: most names that are not read are ruled out by it.
        std::uint64_t filter = 0;
    };

    explicit JsonFields(const Schema& schema);

    [[nodiscard]] Level& root() noexcept { return levels_.front(); }
    [[nodiscard]] Level& level(std::uint32_t index) noexcept { return levels_[index]; }

    /// find() may read as many bytes behind a name.
    static constexpr std::size_t kNamePadding = 8;
    /// The field of this name or null.
    [[nodiscard]] static Field* find(Level& level, std::string_view name) noexcept {
        const std::uint64_t prefix = prefix_of(name);
        if ((level.filter >> filter_bit(prefix, name.size()) & 1) == 0) {
            return nullptr;
        }
        for (Field& field : level.fields) {
            if (prefix == field.prefix && name.size() == field.name.size() &&
                (name.size() <= kPrefixBytes || has_same_rest(name, field.name))) {
                return &field;
            }
        }
        return nullptr;
    }

private:
    static constexpr std::size_t kPrefixBytes = sizeof(std::uint64_t);

    static std::uint64_t prefix_of(std::string_view name) noexcept {
        std::uint64_t prefix = 0;
        std::memcpy(&prefix, name.data(), kPrefixBytes);
        const std::size_t unused_bits = name.size() < kPrefixBytes ? 8 * (kPrefixBytes - name.size()) : 0;
        // A shift by all 64 bits is undefined.
        return name.empty() ? 0 : prefix << unused_bits >> unused_bits;
    }
    static unsigned filter_bit(std::uint64_t prefix, std::size_t name_bytes) noexcept {
        // Multiplicative hashing (Knuth, The Art of Computer Programming 3, 6.4).
        return static_cast<unsigned>(((prefix + name_bytes) * 0x9E3779B97F4A7C15) >> 58);
    }
    /// For names of one length, longer than a prefix, with the same prefix.
    static bool has_same_rest(std::string_view a, std::string_view b) noexcept {
        if (a.size() > 2 * kPrefixBytes) {
            return a == b;
        }
        // The last eight bytes overlap the first ones.
        return std::memcmp(a.data() + a.size() - kPrefixBytes, b.data() + b.size() - kPrefixBytes,
                           kPrefixBytes) == 0;
    }

    void add(std::string_view path, JsonTarget target);
    Field& field(std::uint32_t level, std::string_view name);
    [[nodiscard]] std::uint32_t level_behind(std::string_view prefix);

    std::vector<Level> levels_;
    /// By the beginning of paths that leads there.
    std::map<std::string, std::uint32_t> level_behind_;
};

}  // namespace llmopt_stream
