#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "record/error.hpp"
#include "state/state_backend.hpp"

namespace llmopt_stream {

/// Writes checkpoints to a backend in a thread of its own, in the order given, so that records go on.
///
/// After a failure everything is left out until start_over(): what would come next builds on what is missing.
class CheckpointWriter {
public:
    struct Outcome {
        std::uint64_t id;
        /// Nothing if the checkpoint is durable.
        std::optional<Error> failure;
        /// Wall time that writing it took, its pieces included.
        double seconds;
        std::uint64_t bytes;
    };

    explicit CheckpointWriter(std::shared_ptr<StateBackend> backend);
    /// Finishes what was asked for.
    ~CheckpointWriter();
    CheckpointWriter(const CheckpointWriter&) = delete;
    CheckpointWriter& operator=(const CheckpointWriter&) = delete;

    void apply(StateChanges changes);
    /// Publishes what was applied, then discards all but the newest `keep` checkpoints that are not damaged.
    /// State that expired before `expired_before` is dropped.
    void checkpoint(std::uint64_t id, std::string manifest, std::size_t keep, Timestamp expired_before);
    /// Forgets failures: what comes next is a checkpoint of everything.
    void start_over();

    /// Of changes that are not applied yet.
    [[nodiscard]] std::uint64_t pending_bytes() const;
    /// Since the last call, one for each checkpoint.
    [[nodiscard]] std::vector<Outcome> take_outcomes();
    /// Until all is done that was asked for.
    void wait();

private:
    struct Work {
        std::function<void()> run;
        std::uint64_t bytes = 0;
    };

    void add(std::function<void()> run, std::uint64_t bytes = 0);
    void work();
    /// Runs a step unless one before has failed.
    template <typename Step>
    void attempt(Step step);
    void publish(std::uint64_t id, const std::string& manifest, std::size_t keep, Timestamp expired_before);

    std::shared_ptr<StateBackend> backend_;

    mutable std::mutex mutex_;
    std::condition_variable changed_;
    std::deque<Work> waiting_;
    std::uint64_t pending_bytes_ = 0;
    bool busy_ = false;
    bool closing_ = false;
    std::vector<Outcome> outcomes_;

    // Of the thread alone.
    std::optional<Error> failure_;
    double seconds_ = 0;
    std::uint64_t bytes_ = 0;

    std::thread thread_;
};

}  // namespace llmopt_stream
