#include "source/byte_stream.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <system_error>
#include <utility>

#include "record/error.hpp"

namespace llmopt_stream {
namespace {

[[noreturn]] void fail(ErrorKind kind, const std::string& path, int error) {
    throw Error(kind, "FileSource: path '" + path + "': " + std::generic_category().message(error));
}

}  // namespace

FileByteStream::FileByteStream(std::string path) : path_(std::move(path)) {
    descriptor_ = path_ == "-" ? STDIN_FILENO : open(path_.c_str(), O_RDONLY | O_CLOEXEC);
    if (descriptor_ < 0) {
        fail(ErrorKind::kConfiguration, path_, errno);
    }
    struct stat status{};
    const int error = fstat(descriptor_, &status) != 0 ? errno : S_ISDIR(status.st_mode) ? EISDIR : 0;
    if (error != 0) {
        if (descriptor_ != STDIN_FILENO) {
            close(descriptor_);
        }
        fail(ErrorKind::kConfiguration, path_, error);
    }
    if (S_ISREG(status.st_mode)) {
        total_bytes_ = static_cast<std::uint64_t>(status.st_size);
        may_have_to_wait_ = false;
    }
}

FileByteStream::~FileByteStream() {
    if (descriptor_ != STDIN_FILENO) {
        close(descriptor_);
    }
}

std::size_t FileByteStream::read(std::span<char> into) {
    for (;;) {
        const ssize_t bytes = ::read(descriptor_, into.data(), into.size());
        if (bytes >= 0) {
            return static_cast<std::size_t>(bytes);
        }
        if (errno != EINTR) {
            fail(ErrorKind::kPipeline, path_, errno);
        }
    }
}

bool FileByteStream::wait() {
    if (!may_have_to_wait_) {
        return true;
    }
    pollfd waiting{.fd = descriptor_, .events = POLLIN, .revents = 0};
    const int ready = poll(&waiting, 1, static_cast<int>(kPatience.count()));
    if (ready < 0 && errno != EINTR) {
        fail(ErrorKind::kPipeline, path_, errno);
    }
    return ready > 0;
}

std::size_t MemoryByteStream::read(std::span<char> into) {
    const std::size_t bytes = rest_.copy(into.data(), into.size());
    rest_.remove_prefix(bytes);
    return bytes;
}

}  // namespace llmopt_stream
