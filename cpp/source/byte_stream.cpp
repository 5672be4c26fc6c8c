#include "source/byte_stream.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <system_error>
#include <utility>
#include <vector>

#include "record/error.hpp"

namespace llmopt_stream {
namespace {

[[noreturn]] void fail(ErrorKind kind, const std::string& path, int error) {
    throw Error(kind, "FileSource: path '" + path + "': " + std::generic_category().message(error));
}

}  // namespace

void ByteStream::skip(std::uint64_t bytes) {
    std::vector<char> dropped(std::min<std::uint64_t>(bytes, 1 << 16));
    while (bytes != 0) {
        const std::size_t read_bytes =
            read({dropped.data(), static_cast<std::size_t>(std::min<std::uint64_t>(bytes, dropped.size()))});
        if (read_bytes == 0) {
            throw Error(ErrorKind::kPipeline, "the input is shorter than it was: its position lies " +
                                                  std::to_string(bytes) + " bytes behind its end");
        }
        bytes -= read_bytes;
    }
}

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

void FileByteStream::skip(std::uint64_t bytes) {
    if (may_have_to_wait_) {
        ByteStream::skip(bytes);
        return;
    }
    if (bytes > total_bytes_) {
        throw Error(ErrorKind::kPipeline, "FileSource: path '" + path_ + "': has " +
                                              std::to_string(total_bytes_) +
                                              " bytes, and was to be read from byte " +
                                              std::to_string(bytes) + " on: is it another file?");
    }
    if (lseek(descriptor_, static_cast<off_t>(bytes), SEEK_CUR) < 0) {
        fail(ErrorKind::kPipeline, path_, errno);
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
