#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "state/checkpoint_manifest.hpp"
#include "state/directory.hpp"
#include "state/state_backend.hpp"

namespace llmopt_stream {

/// The checkpoints in a directory, each a directory of its own that appears and disappears as a whole.
/// Reading needs no lock and changes nothing; whoever publishes or discards has to be the only one.
class CheckpointDirectory {
public:
    explicit CheckpointDirectory(const Directory& directory) : directory_(&directory) {}

    [[nodiscard]] static std::string name_of(std::uint64_t id);
    /// What a checkpoint is called until it is published. Leftovers of that name are no checkpoints.
    [[nodiscard]] static std::string unfinished_name_of(std::uint64_t id);

    /// Ascending, with those whose manifest, or a file's size, is not as it should be.
    [[nodiscard]] std::vector<CheckpointInfo> list() const;
    [[nodiscard]] std::optional<std::uint64_t> newest() const;
    [[nodiscard]] bool contains(std::uint64_t id) const { return directory_->contains(name_of(id)); }
    /// The directory of a checkpoint. Throws Error(kCheckpoint) if there is none.
    [[nodiscard]] Directory open(std::uint64_t id) const;
    /// Throws Error(kCheckpoint) if it is damaged.
    [[nodiscard]] CheckpointManifest manifest(std::uint64_t id) const;
    /// One line for each file that is missing, or not as the manifest says.
    [[nodiscard]] std::vector<std::string> damage(std::uint64_t id, RestoreCheck check) const;

    /// 1. Adds the manifest to the unfinished checkpoint and brings its files to the disk, `synced` being
    /// there already. 2. Gives it its name. 3. Brings the name to the disk. If that fails, takes the name
    /// back.
    void publish(const CheckpointManifest& manifest, const std::vector<std::string>& synced) const;
    /// 1. Takes its name away, so that no half of it is ever seen. 2. Deletes its files.
    void discard(std::uint64_t id) const;
    /// Deletes what was left unfinished, or half discarded.
    void sweep() const;

private:
    [[nodiscard]] std::vector<std::uint64_t> ids() const;

    const Directory* directory_;
};

}  // namespace llmopt_stream
