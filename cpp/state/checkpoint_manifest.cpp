#include "state/checkpoint_manifest.hpp"

#include <memory>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "record/error.hpp"
#include "state/byte_codec.hpp"

namespace llmopt_stream {
namespace {

constexpr std::uint32_t kMagic = 0x31434C4C;  // "LLC1"
constexpr std::uint32_t kVersion = 1;

std::uint64_t checksum(std::string_view bytes) { return XXH3_64bits(bytes.data(), bytes.size()); }

[[noreturn]] void refuse(const std::string& why) {
    throw Error(ErrorKind::kCheckpoint, "its manifest " + why);
}

/// Names become paths: nothing but a plain name may be one.
void require_plain(std::string_view name) {
    if (name.empty() || name == "." || name == ".." || name.find('/') != std::string_view::npos ||
        name.find('\0') != std::string_view::npos) {
        refuse("names a file outside of it");
    }
}

}  // namespace

FileDigest digest_of(const Directory& directory, const std::string& name) {
    const std::unique_ptr<XXH3_state_t, XXH_errorcode (*)(XXH3_state_t*)> state(XXH3_createState(),
                                                                                &XXH3_freeState);
    XXH3_128bits_reset(state.get());
    directory.read(
        name, [&](std::string_view piece) { XXH3_128bits_update(state.get(), piece.data(), piece.size()); });
    const XXH128_hash_t hash = XXH3_128bits_digest(state.get());
    return {hash.low64, hash.high64};
}

std::string CheckpointManifest::encode() const {
    ByteWriter out;
    out.write(kMagic);
    out.write(kVersion);
    out.write(id);
    out.write(created);
    out.write(expired_before);
    out.write_bytes(manifest);
    out.write(static_cast<std::uint64_t>(files.size()));
    for (const CheckpointFile& file : files) {
        out.write_bytes(file.name);
        out.write(file.size);
        out.write(file.digest.low);
        out.write(file.digest.high);
    }
    out.write(checksum(out.bytes()));
    return out.take();
}

CheckpointManifest CheckpointManifest::decode(std::string_view bytes) {
    constexpr std::size_t kSmallest = 2 * sizeof(std::uint32_t) + 6 * sizeof(std::uint64_t);
    constexpr std::size_t kSmallestFile = 4 * sizeof(std::uint64_t);
    if (bytes.size() < kSmallest) {
        refuse("is too short to be one");
    }
    ByteReader in(bytes);
    if (in.read<std::uint32_t>() != kMagic) {
        refuse("is not one");
    }
    const std::string_view content = bytes.substr(0, bytes.size() - sizeof(std::uint64_t));
    ByteReader trailer(bytes.substr(content.size()));
    if (trailer.read<std::uint64_t>() != checksum(content)) {
        refuse("has a wrong checksum; it was cut short or altered");
    }
    if (const auto version = in.read<std::uint32_t>(); version != kVersion) {
        refuse("has format version " + std::to_string(version) + ", which this release does not read");
    }
    CheckpointManifest decoded;
    decoded.id = in.read<std::uint64_t>();
    decoded.created = in.read<Timestamp>();
    decoded.expired_before = in.read<Timestamp>();
    decoded.manifest = in.read_bytes();
    for (std::uint64_t left = in.read_count(kSmallestFile); left > 0; --left) {
        CheckpointFile& file = decoded.files.emplace_back();
        file.name = in.read_bytes();
        require_plain(file.name);
        file.size = in.read<std::uint64_t>();
        file.digest.low = in.read<std::uint64_t>();
        file.digest.high = in.read<std::uint64_t>();
    }
    if (in.remaining() != sizeof(std::uint64_t)) {
        refuse("has bytes left over");
    }
    return decoded;
}

std::uint64_t CheckpointManifest::bytes() const noexcept {
    std::uint64_t sum = manifest.size();
    for (const CheckpointFile& file : files) {
        sum += file.size;
    }
    return sum;
}

}  // namespace llmopt_stream
