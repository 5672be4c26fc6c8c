#pragma once

#include <cstdint>
#include <string>
#include <variant>
#include <vector>

#include "state/byte_codec.hpp"

namespace llmopt_stream {

struct ResultValue;
struct ResultField;
using ResultList = std::vector<ResultValue>;
/// In the order in which they were named.
using ResultFields = std::vector<ResultField>;

/// A result that is more than one number: a list, a value with named fields, any nesting of them.
struct ResultValue {
    std::variant<std::monostate, bool, std::int64_t, double, std::string, ResultList, ResultFields,
                 std::uint64_t>
        value;

    [[nodiscard]] bool is_null() const noexcept { return value.index() == 0; }

    void encode(ByteWriter& out) const;
    /// Throws Error(kCheckpoint) on bytes that encode() did not write.
    [[nodiscard]] static ResultValue decode(ByteReader& in);

    friend bool operator==(const ResultValue& a, const ResultValue& b);
};

struct ResultField {
    std::string name;
    ResultValue value;

    friend bool operator==(const ResultField&, const ResultField&) = default;
};

}  // namespace llmopt_stream
