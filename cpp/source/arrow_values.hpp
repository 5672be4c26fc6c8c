#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "record/record_batch.hpp"
#include "record/schema.hpp"
#include "source/arrow_column.hpp"

namespace llmopt_stream {

/// One value column.
class ArrowValues {
public:
    /// Memory of the result; kept by the batch.
    struct Buffers {
        std::vector<double> float64;
        std::vector<std::int64_t> int64;
        std::vector<std::uint8_t> present;
    };

    ArrowValues(const ArrowSchema& root, const ValueField& field);

    /// Nothing where the stream says nothing: a column of nulls, read as float64.
    [[nodiscard]] std::optional<FieldType> type() const noexcept {
        return is_typed_ ? std::optional(type_) : std::nullopt;
    }

    /// Rows of [first, first + size) as chosen; views the array or the buffers.
    [[nodiscard]] ValueColumn read(const ArrowArray& top, std::size_t first, std::size_t size, ArrowRows rows,
                                   Buffers& buffers);

private:
    void read_float64(const ArrowColumnView& view, ArrowRows rows, double* out) const;
    /// Whether every row has a value.
    [[nodiscard]] bool read_int64(const ArrowColumnView& view, ArrowRows rows, std::int64_t* out,
                                  std::uint8_t* present) const;

    ArrowColumn column_;
    FieldType type_ = FieldType::kFloat64;
    bool is_typed_ = true;
    std::vector<std::uint8_t> validity_;
    std::vector<std::uint32_t> dictionary_rows_;
};

}  // namespace llmopt_stream
