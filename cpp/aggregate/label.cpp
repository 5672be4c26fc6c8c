#include "aggregate/label.hpp"

#include <string>
#include <type_traits>
#include <variant>
#include <vector>

#include "record/error.hpp"
#include "record/key.hpp"

namespace llmopt_stream {
namespace {

std::string encoded_value(const KeyValue& value) {
    std::string encoded;
    key_encoding::append(encoded, value);
    return encoded;
}

bool is_encoded_label(std::string_view bytes) {
    try {
        const std::vector<KeyValue> values = key_encoding::decode(bytes);
        return values.size() == 1 && values.front().index() != 0 && encoded_value(values.front()) == bytes;
    } catch (const Error&) {
        return false;
    }
}

}  // namespace

bool is_null_label(std::string_view encoded) noexcept {
    return key_encoding::kind_of(encoded) == key_encoding::ScalarKind::kNull;
}

ResultValue label_value(std::string_view encoded) {
    return std::visit([](auto& value) { return ResultValue{std::move(value)}; },
                      key_encoding::decode(encoded).front());
}

std::string_view read_label(ByteReader& in) {
    const std::string_view bytes = in.read_bytes();
    if (!is_encoded_label(bytes)) {
        ByteReader::corrupt("a value that is no scalar");
    }
    return bytes;
}

}  // namespace llmopt_stream
