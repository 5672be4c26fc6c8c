#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "source/json_fields.hpp"
#include "source/json_scan.hpp"

namespace llmopt_stream {

/// How recent records were laid out. A producer writes the same members in the same order
/// and spacing over and over: a record that equals one found well-formed but for its scalars
/// is well-formed if these are, and the names in it need not be looked up again.
///
/// The layouts are a trie: its edges are what lies between two scalars, cut into pieces. It is
/// bounded; while records keep matching no layout, most are not compared to any.
class JsonLayouts {
public:
    /// A scalar of a record, inside of arrays too, and what it is read for: a field or null.
    struct Value {
        std::size_t begin;
        const JsonFields::Field* field;
    };
    struct Reading {
        const JsonFields::Field* field;
        json_scan::Scalar scalar;
    };

    /// Records of more scalars are not learned.
    static constexpr std::size_t kMaxValues = 128;

    /// Where the record at `record` ends if it is one of the layouts, followed by whatever;
    /// else null, also for a few well-formed ones. "\n" must follow somewhere, and
    /// kReadahead bytes behind it must be readable.
    [[nodiscard]] const char* match(const char* record);
    static constexpr std::size_t kReadahead = 32;

    /// The scalars that are read, if match() has found the record's end.
    [[nodiscard]] std::span<const Reading> readings() const noexcept {
        return {readings_.data(), reading_count_};
    }

    /// Whether the last record was compared in vain, so that its layout is worth learning.
    [[nodiscard]] bool wants_to_learn() const noexcept { return wants_to_learn_; }
    /// Adds the layout of a well-formed record with all its scalars in order.
    void learn(std::string_view record, std::span<const Value> values);

private:
    using Index = std::uint32_t;
    static constexpr Index kNone = 0;

    /// What comes behind a piece.
    enum class Then : std::uint8_t { kPiece, kUnreadValue, kReadValue, kEnd };

    struct Piece {
        static constexpr std::size_t kMaxBytes = 32;
        static constexpr std::size_t kWords = kMaxBytes / sizeof(std::uint64_t);

        std::array<std::uint64_t, kWords> words{};
        /// What keeps the bytes that are compared.
        std::array<std::uint64_t, kWords> masks{};
        const JsonFields::Field* field = nullptr;
        std::uint32_t size = 0;
        /// The first of the pieces that may follow.
        Index next = kNone;
        /// The next one of the pieces that may stand in the same place.
        Index alternative = kNone;
        Then then = Then::kEnd;

        [[nodiscard]] bool fits(const char* at) const noexcept {
            std::uint64_t difference = 0;
            for (std::size_t i = 0; i < kWords; ++i) {
                std::uint64_t word = 0;
                std::memcpy(&word, at + i * sizeof(word), sizeof(word));
                difference |= (word & masks[i]) ^ words[i];
            }
            return difference == 0;
        }
    };

    static constexpr std::size_t kMaxPieces = 1024;
    static constexpr std::size_t kMaxAlternatives = 8;
    static constexpr std::uint32_t kFirstPause = 32;

    [[nodiscard]] const char* match_pieces(const char* at);
    [[nodiscard]] const char* read_value(const Piece& piece, const char* at);
    [[nodiscard]] const char* read_text(const Piece& piece, const char* at);
    bool add_piece(Index& at, std::string_view bytes, Then then, const JsonFields::Field* field);
    bool add_between(Index& at, std::string_view bytes, Then then, const JsonFields::Field* field);

    /// The first one is empty: the pieces that records may begin with follow it.
    std::vector<Piece> pieces_;
    std::vector<Reading> readings_;
    std::size_t reading_count_ = 0;
    std::string unescaped_;
    bool wants_to_learn_ = false;
    /// Records in vain, less those that were not.
    std::uint32_t misses_ = 0;
    /// Records not to compare.
    std::uint32_t pause_ = 0;
    /// Longer with every pause after which nothing has changed.
    std::uint32_t next_pause_ = kFirstPause;
};

}  // namespace llmopt_stream
