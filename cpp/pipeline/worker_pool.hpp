#pragma once

#include <condition_variable>
#include <cstddef>
#include <exception>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace llmopt_stream {

/// Threads that do the parts of one job at a time. Part i always runs on the same thread,
/// part 0 on the caller's.
class WorkerPool {
public:
    explicit WorkerPool(std::size_t parts);
    ~WorkerPool();
    WorkerPool(const WorkerPool&) = delete;
    WorkerPool& operator=(const WorkerPool&) = delete;

    [[nodiscard]] std::size_t parts() const noexcept { return errors_.size(); }

    /// Calls part(0) … part(parts() - 1) and waits for all of them. If some throw, what the
    /// first of them threw comes out.
    void run(const std::function<void(std::size_t)>& part);

private:
    void work(std::size_t part);

    std::mutex mutex_;
    std::condition_variable begun_;
    std::condition_variable done_;
    const std::function<void(std::size_t)>* job_ = nullptr;
    std::uint64_t round_ = 0;
    std::size_t unfinished_ = 0;
    bool stopping_ = false;
    std::vector<std::exception_ptr> errors_;
    std::vector<std::thread> threads_;
};

}  // namespace llmopt_stream
