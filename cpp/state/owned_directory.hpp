#pragma once

#include <string>

#include "state/directory.hpp"

namespace llmopt_stream {

/// A directory that carries our marker file, used by one process at a time: only in such a one anything is
/// deleted.
class OwnedDirectory {
public:
    /// Makes it where it is missing, marks it where it is empty, and locks it. Throws Error(kState) for a
    /// directory with other things in it, and for one in use: by whom, if that process says so.
    explicit OwnedDirectory(const std::string& path);
    /// From the root, without `.`, `..` and a slash at the end.
    [[nodiscard]] static std::string absolute(const std::string& path);

    [[nodiscard]] const Directory& entries() const noexcept { return directory_; }
    [[nodiscard]] const std::string& path() const noexcept { return directory_.path(); }
    /// Throws Error(kState) if it has been deleted since it was opened.
    void require_present() const;

private:
    void mark();
    void lock();

    Directory directory_;
    FileDescriptor lock_;
};

}  // namespace llmopt_stream
