#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "aggregate/result_value.hpp"
#include "record/record_batch.hpp"
#include "state/byte_codec.hpp"

namespace llmopt_stream {

[[nodiscard]] bool is_null_label(std::string_view encoded) noexcept;

/// A label as it was.
[[nodiscard]] ResultValue label_value(std::string_view encoded);

/// Throws Error(kCheckpoint) unless the next bytes, as write_bytes() wrote them, are a label that is not
/// null.
[[nodiscard]] std::string_view read_label(ByteReader& in);

/// Calls use(i, code) for each record first + i, of `size`, whose label is not null. Returns how many are.
template <typename Use>
std::uint64_t for_each_label(const LabelColumn& labels, std::size_t first, std::size_t size, Use use) {
    std::uint64_t nulls = 0;
    for (std::size_t i = 0; i < size; ++i) {
        const std::uint32_t code = labels.code[first + i];
        if (is_null_label(labels.values->key(code))) {
            ++nulls;
        } else {
            use(i, code);
        }
    }
    return nulls;
}

}  // namespace llmopt_stream
