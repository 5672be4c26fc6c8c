#include "state/stored_pieces.hpp"

#include <bit>
#include <type_traits>

namespace llmopt_stream {
namespace {

template <typename T>
void append_big_endian(std::string& name, T value) {
    for (int shift = 8 * (sizeof(T) - 1); shift >= 0; shift -= 8) {
        name.push_back(static_cast<char>(static_cast<std::make_unsigned_t<T>>(value) >> shift));
    }
}

}  // namespace

std::string piece_name(const std::string& prefix, std::int64_t slice, std::uint64_t version,
                       std::uint32_t piece) {
    std::string name = prefix;
    append_big_endian(name, slice);
    append_big_endian(name, version);
    append_big_endian(name, piece);
    return name;
}

}  // namespace llmopt_stream
