#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "record/arrow_c_data.hpp"
#include "record/time.hpp"

namespace llmopt_stream {

/// One named column of a result table.
struct TableColumn {
    /// timestamp[us, UTC]
    struct Timestamps {
        std::vector<Timestamp> values;
    };
    /// int64
    struct Int64s {
        std::vector<std::int64_t> values;
    };
    /// float64
    struct Float64s {
        std::vector<double> values;
    };
    /// bool; 0 or 1 each
    struct Bools {
        std::vector<std::uint8_t> values;
    };
    /// utf8: text i is bytes[offsets[i], offsets[i + 1])
    struct Texts {
        std::vector<std::int32_t> offsets{0};
        std::string bytes;

        /// Throws Error(kPipeline) when the column would pass 2 GiB, the limit of the type.
        void append(std::string_view text);
    };
    /// list: list i has items [offsets[i], offsets[i + 1])
    struct Lists {
        std::vector<std::int32_t> offsets{0};
        std::vector<TableColumn> items;  ///< exactly one

        /// A list ends behind so many items of all lists. Throws Error(kPipeline) beyond 2^31 of them.
        void end(std::size_t items_so_far);
    };
    /// struct
    struct Structs {
        std::size_t size = 0;
        std::vector<TableColumn> fields;
    };

    std::string name;
    std::variant<Timestamps, Int64s, Float64s, Bools, Texts, Lists, Structs> data;
    /// 0 where a value is null; empty means that none is.
    std::vector<std::uint8_t> valid;
    /// Whether the field may hold nulls, as its schema tells consumers.
    bool nullable = true;

    [[nodiscard]] std::size_t size() const noexcept;
};

using TableColumns = std::vector<TableColumn>;

/// Hands the columns to `out` as a stream of one record batch; their memory is moved, not
/// copied, and freed when the last consumer releases it. The caller owns `out`. Throws
/// Error(kPipeline) where columns differ in length, or a column that is not nullable has nulls.
void export_table(TableColumns&& columns, ArrowArrayStream* out);

}  // namespace llmopt_stream
