#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "record/time.hpp"
#include "state/directory.hpp"

namespace llmopt_stream {

/// XXH3's 128 bits of a file's bytes.
struct FileDigest {
    std::uint64_t low = 0;
    std::uint64_t high = 0;
    friend bool operator==(const FileDigest&, const FileDigest&) = default;
};

[[nodiscard]] FileDigest digest_of(const Directory& directory, const std::string& name);

struct CheckpointFile {
    std::string name;
    std::uint64_t size = 0;
    FileDigest digest;
};

/// What a checkpoint is made of. Its bytes begin with magic and format version and end with a checksum.
struct CheckpointManifest {
    std::uint64_t id = 0;
    Timestamp created = 0;
    Timestamp expired_before = kMinTimestamp;
    /// The caller's.
    std::string manifest;
    std::vector<CheckpointFile> files;

    [[nodiscard]] std::string encode() const;
    /// Throws Error(kCheckpoint) that says what is wrong.
    [[nodiscard]] static CheckpointManifest decode(std::string_view bytes);
    [[nodiscard]] std::uint64_t bytes() const noexcept;
};

}  // namespace llmopt_stream
