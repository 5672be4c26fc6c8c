#pragma once

#include <cstdint>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "record/key_dictionary.hpp"
#include "record/schema.hpp"
#include "source/arrow_column.hpp"
#include "source/recent_keys.hpp"

namespace llmopt_stream {

/// The index in place of a key that is text of invalid UTF-8.
inline constexpr std::uint32_t kUnusableKey = std::numeric_limits<std::uint32_t>::max();

/// One column of scalars, of a key or a label: rows to indices of a dictionary of them, each
/// encoded as a key of one field.
class ArrowKeyColumn {
public:
    ArrowKeyColumn(const ArrowSchema& root, const std::string& path) : column_(root, path) {}

    [[nodiscard]] const ArrowColumn& column() const noexcept { return column_; }
    /// Whether its type is one that can be read.
    [[nodiscard]] bool has_scalars() const noexcept;

    /// Reads the chosen rows of [first, first + size). Requires scalars. Returns false if any key is
    /// unusable.
    [[nodiscard]] bool read(const ArrowArray& top, std::size_t first, std::size_t size, ArrowRows rows,
                            KeyDictionary& dictionary, std::uint32_t* out);

private:
    class Reading;

    ArrowColumn column_;
    std::vector<std::uint8_t> validity_;
    RecentKeys recent_;
    // Of dictionary-encoded columns: the key of each entry seen so far, and which were seen.
    std::vector<std::uint32_t> rows_;
    std::vector<std::uint32_t> entry_keys_;
    std::vector<std::uint32_t> entries_seen_;
};

/// Numbers the distinct pairs of two columns of indices, in order of appearance.
class KeyPairs {
public:
    /// Replaces left[i] by the number of (left[i], right[i]). `left` < left_count and so on.
    /// `examples` receives for each number a row that has it.
    void combine(std::uint32_t* left, std::uint32_t left_count, const std::uint32_t* right,
                 std::uint32_t right_count, std::size_t size, std::vector<std::uint32_t>& examples);

private:
    struct Slot {
        std::uint64_t pair;
        std::uint32_t number;
    };
    std::vector<std::uint32_t> direct_;
    std::vector<Slot> table_;
};

/// All key columns of a plan: rows to indices of a dictionary of whole keys. With several
/// columns only the distinct tuples are encoded.
class ArrowKeys {
public:
    ArrowKeys(const ArrowSchema& root, const Schema& schema);

    /// Reads the chosen rows of [first, first + size) into `out`; what `dictionary` has may be
    /// forgotten first. Returns false if some keys are unusable: their index is kUnusableKey.
    [[nodiscard]] bool read(const ArrowArray& top, std::size_t first, std::size_t size, ArrowRows rows,
                            KeyDictionary& dictionary, std::uint32_t* out);

private:
    bool read_tuples(const ArrowArray& top, std::size_t first, std::size_t size, ArrowRows rows,
                     KeyDictionary& dictionary, std::uint32_t* out);

    struct Field {
        ArrowKeyColumn column;
        KeyDictionary dictionary;
        std::vector<std::uint32_t> keys;
    };
    std::vector<Field> fields_;
    KeyPairs pairs_;
    std::vector<std::uint32_t> examples_;
};

}  // namespace llmopt_stream
