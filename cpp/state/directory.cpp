#include "state/directory.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <memory>
#include <system_error>

#include "record/error.hpp"

namespace llmopt_stream {
namespace {

constexpr int kDirectoryFlags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
constexpr std::size_t kPiece = std::size_t{1} << 20;

/// The call again for as long as a signal interrupts it.
template <typename Call>
auto uninterrupted(Call call) {
    auto result = call();
    while (result < 0 && errno == EINTR) {
        result = call();
    }
    return result;
}

FileDescriptor open_at(int directory, const char* name, int flags) {
    return FileDescriptor(uninterrupted([&] { return ::openat(directory, name, flags, 0600); }));
}

void refuse_foreign(int fd, const std::string& path) {
    struct stat facts{};
    if (::fstat(fd, &facts) != 0) {
        throw_system_error(path, "look at");
    }
    if (facts.st_uid != ::geteuid() && facts.st_uid != 0) {
        throw Error(ErrorKind::kState, path + ": it belongs to user " + std::to_string(facts.st_uid) +
                                           ", this process runs as " + std::to_string(::geteuid()));
    }
    if ((facts.st_mode & S_IWOTH) != 0) {
        throw Error(ErrorKind::kState,
                    path + ": every user may write to it; state needs a directory of its own");
    }
}

void refuse_link(const std::string& path) {
    struct stat facts{};
    if (::lstat(path.c_str(), &facts) == 0 && S_ISLNK(facts.st_mode)) {
        throw Error(ErrorKind::kState, path + ": it is a symbolic link; name the directory itself");
    }
}

}  // namespace

FileDescriptor::~FileDescriptor() {
    if (fd_ >= 0) {
        ::close(fd_);
    }
}

void throw_system_error(const std::string& path, const char* operation) {
    throw Error(ErrorKind::kState, path + ": " + operation + ": " + std::generic_category().message(errno));
}

void write_all(int fd, std::string_view bytes, const std::string& path) {
    while (!bytes.empty()) {
        const ssize_t written = uninterrupted([&] { return ::write(fd, bytes.data(), bytes.size()); });
        if (written < 0) {
            throw_system_error(path, "write");
        }
        bytes.remove_prefix(static_cast<std::size_t>(written));
    }
}

Directory Directory::open(const std::string& path) {
    refuse_link(path);
    FileDescriptor fd = open_at(AT_FDCWD, path.c_str(), kDirectoryFlags);
    if (fd.get() < 0) {
        throw_system_error(path, "open the directory");
    }
    refuse_foreign(fd.get(), path);
    return {std::move(fd), path};
}

Directory Directory::open_or_make(const std::string& path) {
    refuse_link(path);
    const std::filesystem::path parent = std::filesystem::path(path).parent_path();
    std::error_code failed;
    std::filesystem::create_directories(parent, failed);
    if (failed) {
        throw Error(ErrorKind::kState, parent.string() + ": make the directory: " + failed.message());
    }
    if (::mkdir(path.c_str(), 0700) != 0 && errno != EEXIST) {
        throw_system_error(path, "make the directory");
    }
    return open(path);
}

Directory Directory::open_entry(const std::string& name) const {
    FileDescriptor fd = open_at(fd_.get(), name.c_str(), kDirectoryFlags);
    if (fd.get() < 0) {
        fail(name, "open the directory");
    }
    refuse_foreign(fd.get(), path_of(name));
    return {std::move(fd), path_of(name)};
}

void Directory::fail(const std::string& name, const char* operation) const {
    throw_system_error(path_of(name), operation);
}

std::vector<std::string> Directory::names() const {
    // A descriptor of its own: positions in a directory are shared by duplicates.
    const int fd = uninterrupted([&] { return ::openat(fd_.get(), ".", kDirectoryFlags); });
    if (fd < 0) {
        throw_system_error(path_, "open the directory");
    }
    const std::unique_ptr<DIR, int (*)(DIR*)> entries(::fdopendir(fd), &::closedir);
    if (entries == nullptr) {
        ::close(fd);
        throw_system_error(path_, "list the directory");
    }
    std::vector<std::string> names;
    errno = 0;
    while (const dirent* const entry = ::readdir(entries.get())) {
        const std::string_view name(entry->d_name);
        if (name != "." && name != "..") {
            names.emplace_back(name);
        }
        errno = 0;
    }
    if (errno != 0) {
        throw_system_error(path_, "list the directory");
    }
    return names;
}

std::optional<FileFacts> Directory::file(const std::string& name) const {
    struct stat facts{};
    if (::fstatat(fd_.get(), name.c_str(), &facts, AT_SYMLINK_NOFOLLOW) != 0) {
        if (errno == ENOENT) {
            return std::nullopt;
        }
        fail(name, "look at");
    }
    if (!S_ISREG(facts.st_mode)) {
        throw Error(ErrorKind::kState, path_of(name) + ": it is not a regular file");
    }
    return FileFacts{static_cast<std::uint64_t>(facts.st_size), facts.st_ino};
}

bool Directory::contains(const std::string& name) const {
    struct stat facts{};
    if (::fstatat(fd_.get(), name.c_str(), &facts, AT_SYMLINK_NOFOLLOW) == 0) {
        return true;
    }
    if (errno != ENOENT) {
        fail(name, "look at");
    }
    return false;
}

FileDescriptor Directory::open_for_reading(const std::string& name) const {
    FileDescriptor fd = open_at(fd_.get(), name.c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    if (fd.get() < 0) {
        fail(name, "open");
    }
    return fd;
}

void Directory::read(const std::string& name, const std::function<void(std::string_view)>& take) const {
    const FileDescriptor fd = open_for_reading(name);
    std::string piece(kPiece, '\0');
    while (true) {
        const ssize_t size = uninterrupted([&] { return ::read(fd.get(), piece.data(), piece.size()); });
        if (size < 0) {
            fail(name, "read");
        }
        if (size == 0) {
            return;
        }
        take(std::string_view(piece).substr(0, static_cast<std::size_t>(size)));
    }
}

std::string Directory::read(const std::string& name) const {
    std::string bytes;
    read(name, [&](std::string_view piece) { bytes.append(piece); });
    return bytes;
}

void Directory::write(const std::string& name, std::string_view bytes) const {
    const FileDescriptor fd =
        open_at(fd_.get(), name.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC);
    if (fd.get() < 0) {
        fail(name, "create");
    }
    write_all(fd.get(), bytes, path_of(name));
    if (::fsync(fd.get()) != 0) {
        fail(name, "sync");
    }
}

FileDescriptor Directory::open_file(const std::string& name) const {
    FileDescriptor fd = open_at(fd_.get(), name.c_str(), O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC);
    if (fd.get() < 0) {
        fail(name, "open");
    }
    return fd;
}

void Directory::link_or_copy(const std::string& name, const Directory& other) const {
    if (::linkat(other.fd_.get(), name.c_str(), fd_.get(), name.c_str(), 0) == 0) {
        return;
    }
    if (errno != EXDEV && errno != EPERM && errno != EMLINK && errno != EOPNOTSUPP) {
        fail(name, "link");
    }
    copy(name, other);
}

void Directory::copy(const std::string& name, const Directory& other) const {
    const FileDescriptor fd =
        open_at(fd_.get(), name.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC);
    if (fd.get() < 0) {
        fail(name, "create");
    }
    other.read(name, [&](std::string_view piece) { write_all(fd.get(), piece, path_of(name)); });
}

void Directory::make(const std::string& name) const {
    if (::mkdirat(fd_.get(), name.c_str(), 0700) != 0) {
        fail(name, "make the directory");
    }
}

void Directory::rename(const std::string& from, const std::string& to) const {
    if (::renameat(fd_.get(), from.c_str(), fd_.get(), to.c_str()) != 0) {
        fail(from, "rename");
    }
}

void Directory::remove(const std::string& name) const {
    if (::unlinkat(fd_.get(), name.c_str(), 0) == 0 || errno == ENOENT) {
        return;
    }
    if (errno != EISDIR && errno != EPERM) {
        fail(name, "delete");
    }
    const Directory entry = open_entry(name);
    for (const std::string& each : entry.names()) {
        entry.remove(each);
    }
    if (::unlinkat(fd_.get(), name.c_str(), AT_REMOVEDIR) != 0) {
        fail(name, "delete");
    }
}

void Directory::sync_file(const std::string& name) const {
    if (::fsync(open_for_reading(name).get()) != 0) {
        fail(name, "sync");
    }
}

void Directory::sync() const {
    if (::fsync(fd_.get()) != 0) {
        throw_system_error(path_, "sync");
    }
}

}  // namespace llmopt_stream
