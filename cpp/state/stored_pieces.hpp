#pragma once

#include <cstdint>
#include <string>

namespace llmopt_stream {

/// Where decoding finds the pieces of state that a checkpoint keeps apart.
class StoredPieces {
public:
    virtual ~StoredPieces() = default;
    /// Throws Error(kCheckpoint) if there is none of this name.
    [[nodiscard]] virtual std::string get(const std::string& name) const = 0;
};

/// Which pieces a slice was stored as, in which checkpoint; nothing as long as `version` is 0.
struct PieceRange {
    std::uint64_t version = 0;
    std::uint32_t pieces = 0;
};

/// The names of a slice's pieces: those of one version are next to each other.
[[nodiscard]] std::string piece_name(const std::string& prefix, std::int64_t slice, std::uint64_t version,
                                     std::uint32_t piece);

}  // namespace llmopt_stream
