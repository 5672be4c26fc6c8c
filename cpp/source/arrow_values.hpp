#pragma once

#include <cstdint>
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

    [[nodiscard]] FieldType type() const noexcept { return type_; }

    /// Rows of [first, first + size) as chosen; views the array or the buffers.
    [[nodiscard]] ValueColumn read(const ArrowArray& top, std::size_t first, std::size_t size, ArrowRows rows,
                                   Buffers& buffers);

private:
    void read_float64(const ArrowColumnView& view, ArrowRows rows, double* out) const;
    /// Whether every row has a value.
    [[nodiscard]] bool read_int64(const ArrowColumnView& view, ArrowRows rows, std::int64_t* out,
                                  std::uint8_t* present) const;

    ArrowColumn column_;
    FieldType type_;
    std::vector<std::uint8_t> validity_;
    std::vector<std::uint32_t> dictionary_rows_;
};

}  // namespace llmopt_stream
