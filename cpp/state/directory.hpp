#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace llmopt_stream {

/// An open file, closed at the end of its life.
class FileDescriptor {
public:
    FileDescriptor() = default;
    explicit FileDescriptor(int fd) noexcept : fd_(fd) {}
    FileDescriptor(FileDescriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
    FileDescriptor& operator=(FileDescriptor&& other) noexcept {
        std::swap(fd_, other.fd_);
        return *this;
    }
    ~FileDescriptor();
    [[nodiscard]] int get() const noexcept { return fd_; }

private:
    int fd_ = -1;
};

struct FileFacts {
    std::uint64_t size;
    /// Two names of one file, hard links of each other, share it.
    std::uint64_t inode;
    friend bool operator==(const FileFacts&, const FileFacts&) = default;
};

/// A directory of ours, held open. Nothing here follows a symbolic link. What fails throws Error(kState) with
/// path, operation and the system's reason.
class Directory {
public:
    /// Refuses a symbolic link, another user's directory (root's is taken), and one that everybody may write
    /// to.
    [[nodiscard]] static Directory open(const std::string& path);
    /// Makes it, for its owner alone, and its parents where they are missing.
    [[nodiscard]] static Directory open_or_make(const std::string& path);
    [[nodiscard]] Directory open_entry(const std::string& name) const;

    [[nodiscard]] const std::string& path() const noexcept { return path_; }
    [[nodiscard]] std::string path_of(const std::string& name) const { return path_ + "/" + name; }

    [[nodiscard]] std::vector<std::string> names() const;
    /// Nothing where there is no such entry. Whatever is not a regular file throws.
    [[nodiscard]] std::optional<FileFacts> file(const std::string& name) const;
    [[nodiscard]] bool contains(const std::string& name) const;

    /// Calls `take` with one piece of the file after another.
    void read(const std::string& name, const std::function<void(std::string_view)>& take) const;
    [[nodiscard]] std::string read(const std::string& name) const;
    /// A new file, on the disk when this returns.
    void write(const std::string& name, std::string_view bytes) const;
    /// An open file for reading and writing, made where it is missing.
    [[nodiscard]] FileDescriptor open_file(const std::string& name) const;
    /// Another name for the file in `other`; a copy where the file systems do not allow that.
    void link_or_copy(const std::string& name, const Directory& other) const;
    void copy(const std::string& name, const Directory& other) const;

    void make(const std::string& name) const;
    /// Replaces an empty directory `to`.
    void rename(const std::string& from, const std::string& to) const;
    /// A file, or a directory with all that is in it; nothing happens where there is none.
    void remove(const std::string& name) const;
    void sync_file(const std::string& name) const;
    void sync() const;

private:
    Directory(FileDescriptor fd, std::string path) : fd_(std::move(fd)), path_(std::move(path)) {}
    [[nodiscard]] FileDescriptor open_for_reading(const std::string& name) const;
    [[noreturn]] void fail(const std::string& name, const char* operation) const;

    FileDescriptor fd_;
    std::string path_;
};

/// What the system says of `path`: Error(kState) "path: operation: reason", from errno.
[[noreturn]] void throw_system_error(const std::string& path, const char* operation);

/// All of `bytes`, whatever interrupts it.
void write_all(int fd, std::string_view bytes, const std::string& path);

}  // namespace llmopt_stream
