#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <string>
#include <vector>

#include "record/arrow_c_data.hpp"
#include "source/arrow_type.hpp"

namespace llmopt_stream {

/// Buffers of foreign memory may lie at any address.
template <typename T>
[[nodiscard]] inline T load_at(const void* base, std::size_t index) noexcept {
    T value;
    std::memcpy(&value, static_cast<const char*>(base) + index * sizeof(T), sizeof(T));
    return value;
}

/// A range of rows of one leaf column. Its buffers are there and long enough as far as the
/// C data interface lets one check.
struct ArrowColumnView {
    const ArrowArray* array = nullptr;
    /// Place of row 0 in the buffers.
    std::size_t first = 0;
    std::size_t size = 0;
    /// Null where every row is valid; bit `validity_first` is row 0.
    const std::uint8_t* validity = nullptr;
    std::size_t validity_first = 0;

    [[nodiscard]] bool is_valid(std::size_t row) const noexcept {
        const std::size_t bit = validity_first + row;
        return validity == nullptr || ((validity[bit / 8] >> (bit % 8)) & 1) != 0;
    }
    /// The buffer of values, offsets or views.
    [[nodiscard]] const void* data() const noexcept { return array->buffers[1]; }
};

/// A choice of rows of a view: all of them where `rows` is null.
struct ArrowRows {
    static constexpr std::uint32_t kNull = std::numeric_limits<std::uint32_t>::max();

    std::size_t size = 0;
    /// kNull stands for a row without a value.
    const std::uint32_t* rows = nullptr;
};

/// Calls visit(k, row) for the k-th chosen row, or null(k) where it has no value.
template <typename Visit, typename Null>
inline void for_each_row(const ArrowColumnView& view, ArrowRows rows, Visit visit, Null null) {
    if (rows.rows == nullptr && view.validity == nullptr) {
        for (std::size_t k = 0; k < rows.size; ++k) {
            visit(k, k);
        }
        return;
    }
    for (std::size_t k = 0; k < rows.size; ++k) {
        const std::size_t row = rows.rows == nullptr ? k : rows.rows[k];
        if (row != ArrowRows::kNull && view.is_valid(row)) {
            visit(k, row);
        } else {
            null(k);
        }
    }
}

/// Where a field of the plan is in the arrays of a stream.
class ArrowColumn {
public:
    /// Finds a dotted path: nested struct columns, or at any level a flat column named like
    /// the whole rest. Throws Error(kConfiguration) where there is none, or two.
    ArrowColumn(const ArrowSchema& root, const std::string& path);

    /// Throws Error(kConfiguration): "field 'x' is a list; <expected>".
    [[noreturn]] void refuse(const std::string& expected) const;
    /// Throws Error(kPipeline): the array is not what the schema promises.
    [[noreturn]] void corrupt(const char* what) const;

    [[nodiscard]] const std::string& path() const noexcept { return path_; }
    /// The type of the values, also where they are dictionary-encoded.
    [[nodiscard]] ArrowType type() const noexcept { return type_; }
    [[nodiscard]] bool is_dictionary() const noexcept { return is_dictionary_; }

    /// Rows [first, first + size) of a top-level array. A null struct makes its fields null;
    /// `validity` is room for the rows' bits where several levels have nulls.
    [[nodiscard]] ArrowColumnView view(const ArrowArray& top, std::size_t first, std::size_t size,
                                       std::vector<std::uint8_t>& validity) const;
    /// All values of the dictionary that `indices`, a view of this column, points into.
    [[nodiscard]] ArrowColumnView dictionary(const ArrowColumnView& indices) const;
    /// The chosen rows of `indices` as rows of the dictionary; checked to lie in it.
    void dictionary_rows(const ArrowColumnView& indices, ArrowRows rows, std::size_t dictionary_size,
                         std::vector<std::uint32_t>& out) const;

private:
    void check_leaf(const ArrowArray& array, ArrowKind kind, std::size_t size) const;

    std::string path_;
    std::string type_name_;
    /// Index of the child at each level, and how many children there must be.
    struct Step {
        std::size_t child;
        std::int64_t children;
    };
    std::vector<Step> steps_;
    ArrowType type_;
    bool is_dictionary_ = false;
    ArrowKind index_kind_ = ArrowKind::kOther;
};

}  // namespace llmopt_stream
