#include "state/checkpoint_directory.hpp"

#include <algorithm>
#include <charconv>

#include "record/error.hpp"
#include "state/kill_point.hpp"

namespace llmopt_stream {
namespace {

constexpr std::string_view kPublished = "checkpoint-";
constexpr std::string_view kUnfinished = "unfinished-";
constexpr std::string_view kDiscarded = "discarded-";
const std::string kManifest = "CHECKPOINT";
constexpr std::size_t kDigits = 20;

std::string name_with(std::string_view prefix, std::uint64_t id) {
    const std::string digits = std::to_string(id);
    return std::string(prefix) + std::string(kDigits - digits.size(), '0') + digits;
}

std::optional<std::uint64_t> id_of(const std::string& name) {
    std::uint64_t id = 0;
    const char* const end = name.data() + name.size();
    if (!name.starts_with(kPublished) || name.size() != kPublished.size() + kDigits) {
        return std::nullopt;
    }
    const auto parsed = std::from_chars(name.data() + kPublished.size(), end, id);
    return parsed.ec == std::errc() && parsed.ptr == end ? std::optional(id) : std::nullopt;
}

/// What is wrong with a file; empty if nothing is.
std::string damage_of(const Directory& checkpoint, const CheckpointFile& file, RestoreCheck check) {
    try {
        const std::optional<FileFacts> facts = checkpoint.file(file.name);
        if (!facts) {
            return checkpoint.path_of(file.name) + ": it is missing";
        }
        if (facts->size != file.size) {
            return checkpoint.path_of(file.name) + ": it has " + std::to_string(facts->size) +
                   " bytes instead of " + std::to_string(file.size);
        }
        if (check == RestoreCheck::kBytes && digest_of(checkpoint, file.name) != file.digest) {
            return checkpoint.path_of(file.name) + ": its checksum is wrong; it was altered";
        }
    } catch (const Error& error) {
        return error.what();
    }
    return {};
}

std::vector<std::string> damages_of(const Directory& checkpoint, const CheckpointManifest& manifest,
                                    RestoreCheck check) {
    std::vector<std::string> damages;
    for (const CheckpointFile& file : manifest.files) {
        if (std::string damage = damage_of(checkpoint, file, check); !damage.empty()) {
            damages.push_back(std::move(damage));
        }
    }
    return damages;
}

}  // namespace

std::string CheckpointDirectory::name_of(std::uint64_t id) { return name_with(kPublished, id); }

std::string CheckpointDirectory::unfinished_name_of(std::uint64_t id) { return name_with(kUnfinished, id); }

std::vector<std::uint64_t> CheckpointDirectory::ids() const {
    std::vector<std::uint64_t> ids;
    for (const std::string& name : directory_->names()) {
        if (const auto id = id_of(name)) {
            ids.push_back(*id);
        }
    }
    std::sort(ids.begin(), ids.end());
    return ids;
}

std::optional<std::uint64_t> CheckpointDirectory::newest() const {
    const std::vector<std::uint64_t> all = ids();
    return all.empty() ? std::nullopt : std::optional(all.back());
}

std::vector<CheckpointInfo> CheckpointDirectory::list() const {
    std::vector<CheckpointInfo> infos;
    for (const std::uint64_t id : ids()) {
        CheckpointInfo& info = infos.emplace_back();
        info.id = id;
        try {
            CheckpointManifest read = manifest(id);
            info.created = read.created;
            info.bytes = read.bytes();
            const std::vector<std::string> damages = damages_of(open(id), read, RestoreCheck::kSizes);
            info.damage = damages.empty() ? std::string() : damages.front();
            info.manifest = std::move(read.manifest);
        } catch (const Error& error) {
            info.damage = error.what();
        }
    }
    return infos;
}

Directory CheckpointDirectory::open(std::uint64_t id) const {
    if (!contains(id)) {
        throw Error(ErrorKind::kCheckpoint,
                    directory_->path() + ": there is no checkpoint " + std::to_string(id));
    }
    return directory_->open_entry(name_of(id));
}

CheckpointManifest CheckpointDirectory::manifest(std::uint64_t id) const {
    const Directory checkpoint = open(id);
    try {
        CheckpointManifest manifest = CheckpointManifest::decode(checkpoint.read(kManifest));
        if (manifest.id != id) {
            throw Error(ErrorKind::kCheckpoint,
                        "its manifest is of checkpoint " + std::to_string(manifest.id));
        }
        return manifest;
    } catch (const Error& error) {
        throw Error(ErrorKind::kCheckpoint, checkpoint.path() + ": " + error.what());
    }
}

std::vector<std::string> CheckpointDirectory::damage(std::uint64_t id, RestoreCheck check) const {
    const Directory checkpoint = open(id);
    try {
        return damages_of(checkpoint, manifest(id), check);
    } catch (const Error& error) {
        return {error.what()};
    }
}

void CheckpointDirectory::publish(const CheckpointManifest& manifest,
                                  const std::vector<std::string>& synced) const {
    const std::string unfinished = unfinished_name_of(manifest.id);
    const std::string published = name_of(manifest.id);
    // 1.
    {
        const Directory checkpoint = directory_->open_entry(unfinished);
        kill_point("checkpoint:before-sync");
        for (const CheckpointFile& file : manifest.files) {
            if (std::find(synced.begin(), synced.end(), file.name) == synced.end()) {
                checkpoint.sync_file(file.name);
            }
        }
        kill_point("checkpoint:before-manifest");
        checkpoint.write(kManifest, manifest.encode());
        kill_point("checkpoint:before-folder-sync");
        checkpoint.sync();
    }
    // 2.
    kill_point("checkpoint:before-rename");
    directory_->rename(unfinished, published);
    // 3.
    kill_point("checkpoint:before-name-sync");
    try {
        directory_->sync();
    } catch (const Error&) {
        directory_->rename(published, unfinished);
        throw;
    }
    kill_point("checkpoint:published");
}

void CheckpointDirectory::discard(std::uint64_t id) const {
    const std::string discarded = name_with(kDiscarded, id);
    (void)open(id);
    directory_->remove(discarded);
    // 1.
    kill_point("discard:before-rename");
    directory_->rename(name_of(id), discarded);
    kill_point("discard:before-name-sync");
    directory_->sync();
    // 2.
    {
        const Directory checkpoint = directory_->open_entry(discarded);
        for (const std::string& name : checkpoint.names()) {
            kill_point("discard:before-file");
            checkpoint.remove(name);
        }
    }
    kill_point("discard:before-folder");
    directory_->remove(discarded);
}

void CheckpointDirectory::sweep() const {
    for (const std::string& name : directory_->names()) {
        if (name.starts_with(kUnfinished) || name.starts_with(kDiscarded)) {
            directory_->remove(name);
        }
    }
}

}  // namespace llmopt_stream
