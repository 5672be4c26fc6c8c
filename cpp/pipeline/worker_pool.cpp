#include "pipeline/worker_pool.hpp"

#include <utility>

namespace llmopt_stream {

WorkerPool::WorkerPool(std::size_t parts) : errors_(parts) {
    for (std::size_t part = 1; part < parts; ++part) {
        threads_.emplace_back([this, part] { work(part); });
    }
}

WorkerPool::~WorkerPool() {
    {
        const std::scoped_lock lock(mutex_);
        stopping_ = true;
    }
    begun_.notify_all();
    for (std::thread& thread : threads_) {
        thread.join();
    }
}

void WorkerPool::run(const std::function<void(std::size_t)>& part) {
    {
        const std::scoped_lock lock(mutex_);
        job_ = &part;
        unfinished_ = threads_.size();
        ++round_;
    }
    begun_.notify_all();
    try {
        part(0);
    } catch (...) {
        errors_[0] = std::current_exception();
    }
    std::unique_lock lock(mutex_);
    done_.wait(lock, [this] { return unfinished_ == 0; });
    job_ = nullptr;
    std::exception_ptr first;
    for (std::exception_ptr& error : errors_) {
        std::exception_ptr taken = std::exchange(error, nullptr);
        if (!first) {
            first = std::move(taken);
        }
    }
    if (first) {
        std::rethrow_exception(first);
    }
}

void WorkerPool::work(std::size_t part) {
    std::uint64_t seen = 0;
    std::unique_lock lock(mutex_);
    for (;;) {
        begun_.wait(lock, [&] { return stopping_ || round_ != seen; });
        if (stopping_) {
            return;
        }
        seen = round_;
        const auto& job = *job_;
        lock.unlock();
        try {
            job(part);
        } catch (...) {
            errors_[part] = std::current_exception();
        }
        lock.lock();
        if (--unfinished_ == 0) {
            done_.notify_one();
        }
    }
}

}  // namespace llmopt_stream
