#include "state/owned_directory.hpp"

#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <filesystem>

#include "record/error.hpp"

namespace llmopt_stream {
namespace {

const std::string kMarker = "LLMOPT_STREAM_STATE";
const std::string kLock = "LOCK";

/// Volumes of their own come with `lost+found`; a lock without a marker is left by a first start that was cut
/// short.
bool is_of_others(const std::string& name) { return name != "lost+found" && name != kLock; }

}  // namespace

std::string OwnedDirectory::absolute(const std::string& path) {
    std::string text = std::filesystem::absolute(path).lexically_normal().string();
    while (text.size() > 1 && text.back() == '/') {
        text.pop_back();
    }
    return text;
}

OwnedDirectory::OwnedDirectory(const std::string& path)
    : directory_(Directory::open_or_make(absolute(path))) {
    if (!directory_.contains(kMarker)) {
        const std::vector<std::string> names = directory_.names();
        if (std::any_of(names.begin(), names.end(), is_of_others)) {
            throw Error(
                ErrorKind::kState,
                this->path() + ": it has files in it that are not of llmopt_stream; name an empty directory");
        }
    }
    lock();
    mark();
}

void OwnedDirectory::mark() {
    if (!directory_.contains(kMarker)) {
        directory_.write(kMarker, "State of llmopt_stream: files come and go here as it needs them.\n");
        directory_.sync();
    }
}

void OwnedDirectory::lock() {
    FileDescriptor file = directory_.open_file(kLock);
    if (::flock(file.get(), LOCK_EX | LOCK_NB) != 0) {
        if (errno != EWOULDBLOCK) {
            throw_system_error(directory_.path_of(kLock), "lock");
        }
        std::array<char, 32> text{};
        const ssize_t size = ::pread(file.get(), text.data(), text.size(), 0);
        const std::string holder(text.data(), size > 0 ? static_cast<std::size_t>(size) : 0);
        throw Error(ErrorKind::kState, path() + ": it is in use by " +
                                           (holder.empty() ? "another process" : "process " + holder) +
                                           "; a state directory serves one backend at a time");
    }
    if (::ftruncate(file.get(), 0) != 0) {
        throw_system_error(directory_.path_of(kLock), "truncate");
    }
    write_all(file.get(), std::to_string(::getpid()), directory_.path_of(kLock));
    lock_ = std::move(file);
}

void OwnedDirectory::require_present() const {
    if (!directory_.contains(kMarker)) {
        throw Error(ErrorKind::kState,
                    path() + ": it has been deleted, or its marker file " + kMarker + " has");
    }
}

}  // namespace llmopt_stream
