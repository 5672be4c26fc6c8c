#include "state/checkpoint_writer.hpp"

#include <chrono>
#include <exception>
#include <ranges>
#include <utility>

namespace llmopt_stream {

CheckpointWriter::CheckpointWriter(std::shared_ptr<StateBackend> backend)
    : backend_(std::move(backend)), thread_([this] { work(); }) {}

CheckpointWriter::~CheckpointWriter() {
    {
        const std::scoped_lock lock(mutex_);
        closing_ = true;
    }
    changed_.notify_all();
    thread_.join();
}

void CheckpointWriter::add(std::function<void()> run, std::uint64_t bytes) {
    {
        const std::scoped_lock lock(mutex_);
        waiting_.push_back({std::move(run), bytes});
        pending_bytes_ += bytes;
    }
    changed_.notify_all();
}

void CheckpointWriter::work() {
    std::unique_lock lock(mutex_);
    for (;;) {
        changed_.wait(lock, [this] { return closing_ || !waiting_.empty(); });
        if (waiting_.empty()) {
            return;
        }
        const Work work = std::move(waiting_.front());
        waiting_.pop_front();
        busy_ = true;
        lock.unlock();
        work.run();
        lock.lock();
        busy_ = false;
        pending_bytes_ -= work.bytes;
        changed_.notify_all();
    }
}

template <typename Step>
void CheckpointWriter::attempt(Step step) {
    if (failure_) {
        return;
    }
    const auto started = std::chrono::steady_clock::now();
    try {
        step();
    } catch (const Error& error) {
        failure_ = error;
    } catch (const std::exception& error) {
        failure_ = Error(ErrorKind::kCheckpoint, error.what());
    }
    seconds_ += std::chrono::duration<double>(std::chrono::steady_clock::now() - started).count();
}

void CheckpointWriter::apply(StateChanges changes) {
    const std::uint64_t bytes = bytes_of(changes);
    // A function that is copied would copy them.
    auto shared = std::make_shared<StateChanges>(std::move(changes));
    add(
        [this, shared, bytes] {
            attempt([&] { backend_->apply(*shared); });
            bytes_ += bytes;
        },
        bytes);
}

void CheckpointWriter::checkpoint(std::uint64_t id, std::string manifest, std::size_t keep,
                                  Timestamp expired_before) {
    add([this, id, manifest = std::move(manifest), keep, expired_before] {
        attempt([&] { publish(id, manifest, keep, expired_before); });
        const std::scoped_lock lock(mutex_);
        outcomes_.push_back({id, failure_, std::exchange(seconds_, 0), std::exchange(bytes_, 0)});
    });
}

void CheckpointWriter::publish(std::uint64_t id, const std::string& manifest, std::size_t keep,
                               Timestamp expired_before) {
    if (expired_before != kMinTimestamp) {
        backend_->set_expired_before(expired_before);
    }
    backend_->checkpoint(id, manifest);
    std::size_t kept = 0;
    const std::vector<CheckpointInfo> all = backend_->checkpoints();
    for (const CheckpointInfo& info : std::views::reverse(all)) {
        if (info.damage.empty() && kept < keep) {
            ++kept;
        } else if (kept == keep) {
            backend_->discard(info.id);
        }
    }
}

void CheckpointWriter::start_over() {
    add([this] {
        failure_.reset();
        seconds_ = 0;
        bytes_ = 0;
    });
}

std::uint64_t CheckpointWriter::pending_bytes() const {
    const std::scoped_lock lock(mutex_);
    return pending_bytes_;
}

std::vector<CheckpointWriter::Outcome> CheckpointWriter::take_outcomes() {
    const std::scoped_lock lock(mutex_);
    return std::exchange(outcomes_, {});
}

void CheckpointWriter::wait() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return waiting_.empty() && !busy_; });
}

}  // namespace llmopt_stream
