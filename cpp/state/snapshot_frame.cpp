#include "state/snapshot_frame.hpp"

#include <cstdint>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "record/error.hpp"
#include "state/byte_codec.hpp"

namespace llmopt_stream::snapshot_frame {
namespace {

constexpr std::uint32_t kMagic = 0x31534C4C;  // "LLS1"
constexpr std::uint32_t kVersion = 2;

std::uint64_t checksum(std::string_view bytes) { return XXH3_64bits(bytes.data(), bytes.size()); }

[[noreturn]] void refuse(const std::string& why) {
    throw Error(ErrorKind::kCheckpoint, "snapshot refused: " + why);
}

}  // namespace

std::string seal(std::string_view plan, std::string_view body) {
    ByteWriter out;
    out.write(kMagic);
    out.write(kVersion);
    out.write_bytes(plan);
    out.write_bytes(body);
    out.write(checksum(out.bytes()));
    return out.take();
}

std::string open(std::string_view plan, std::string_view framed) {
    constexpr std::size_t kSmallest = 2 * sizeof(std::uint32_t) + 3 * sizeof(std::uint64_t);
    if (framed.size() < kSmallest) {
        refuse("it is too short to be one");
    }
    ByteReader in(framed);
    if (in.read<std::uint32_t>() != kMagic) {
        refuse("these bytes are not a snapshot");
    }
    const std::string_view content = framed.substr(0, framed.size() - sizeof(std::uint64_t));
    ByteReader trailer(framed.substr(content.size()));
    if (trailer.read<std::uint64_t>() != checksum(content)) {
        refuse("its checksum is wrong; it was cut short or altered");
    }
    if (const auto version = in.read<std::uint32_t>(); version != kVersion) {
        refuse("format version " + std::to_string(version) + " is not one this release reads");
    }
    if (const std::string_view of_plan = in.read_bytes(); of_plan != plan) {
        refuse("it belongs to another plan\n  snapshot: " + std::string(of_plan) +
               "\n  this one: " + std::string(plan));
    }
    return std::string(in.read_bytes());
}

}  // namespace llmopt_stream::snapshot_frame
