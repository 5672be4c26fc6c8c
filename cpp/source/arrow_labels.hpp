#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "record/key_dictionary.hpp"
#include "record/record_batch.hpp"
#include "source/arrow_keys.hpp"

namespace llmopt_stream {

/// One label column. A column of lists, structs or anything else that is no scalar is null.
class ArrowLabels {
public:
    /// Memory of the result; kept by the batch.
    struct Buffers {
        std::vector<std::uint32_t> codes;
        KeyDictionary dictionary;
    };

    ArrowLabels(const ArrowSchema& root, const std::string& path) : column_(root, path) {}

    /// Rows of [first, first + size) as chosen.
    [[nodiscard]] LabelColumn read(const ArrowArray& top, std::size_t first, std::size_t size, ArrowRows rows,
                                   Buffers& buffers);

private:
    ArrowKeyColumn column_;
    std::vector<std::uint32_t> label_of_entry_;
};

}  // namespace llmopt_stream
