#include "aggregate/result_value.hpp"

#include <type_traits>

namespace llmopt_stream {
namespace {

constexpr int kMaxDepth = 32;

ResultValue decode_value(ByteReader& in, int depth) {
    if (depth > kMaxDepth) {
        ByteReader::corrupt("a result is nested too deep");
    }
    switch (in.read<std::uint8_t>()) {
        case 0: return {};
        case 1: return {in.read<std::uint8_t>() != 0};
        case 2: return {in.read<std::int64_t>()};
        case 3: return {in.read<double>()};
        case 4: return {std::string(in.read_bytes())};
        case 5: {
            ResultList list(in.read_count(1));
            for (ResultValue& item : list) {
                item = decode_value(in, depth + 1);
            }
            return {std::move(list)};
        }
        case 6: {
            ResultFields fields(in.read_count(sizeof(std::uint64_t)));
            for (auto& [name, field] : fields) {
                name = in.read_bytes();
                field = decode_value(in, depth + 1);
            }
            return {std::move(fields)};
        }
        case 7: return {in.read<std::uint64_t>()};
        default: ByteReader::corrupt("an unknown kind of result");
    }
}

}  // namespace

void ResultValue::encode(ByteWriter& out) const {
    out.write(static_cast<std::uint8_t>(value.index()));
    std::visit(
        [&](const auto& held) {
            using Held = std::decay_t<decltype(held)>;
            if constexpr (std::is_same_v<Held, bool>) {
                out.write<std::uint8_t>(held ? 1 : 0);
            } else if constexpr (std::is_arithmetic_v<Held>) {
                out.write(held);
            } else if constexpr (std::is_same_v<Held, std::string>) {
                out.write_bytes(held);
            } else if constexpr (std::is_same_v<Held, ResultList>) {
                out.write<std::uint64_t>(held.size());
                for (const ResultValue& item : held) {
                    item.encode(out);
                }
            } else if constexpr (std::is_same_v<Held, ResultFields>) {
                out.write<std::uint64_t>(held.size());
                for (const auto& [name, field] : held) {
                    out.write_bytes(name);
                    field.encode(out);
                }
            }
        },
        value);
}

ResultValue ResultValue::decode(ByteReader& in) { return decode_value(in, 0); }

bool operator==(const ResultValue& a, const ResultValue& b) { return a.value == b.value; }

}  // namespace llmopt_stream
