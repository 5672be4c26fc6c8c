#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "pipeline/worker_pool.hpp"
#include "record/batch_part.hpp"
#include "window/window_operator.hpp"

namespace llmopt_stream {

/// A window operator whose keys are divided among shards, each with its own keys, slices and
/// memory, so that threads work on them without locks. Every shard sees every watermark of the
/// stream, and results are merged by (position that fired, window end, key): the output is
/// that of one operator, whatever the number of shards.
class ShardedOperator {
public:
    /// `shards` >= 1; one shard costs nothing over a WindowOperator. Where users' code runs, which stays in
    /// one thread and is called in the order of the input, there is one.
    ShardedOperator(const WindowPlan& plan, const Metrics& metrics, std::size_t shards);

    /// See WindowOperator. `pool` has a part for each shard; without one, shards take turns.
    void on_batch(const RecordBatch& batch, const BatchClock& clock, WorkerPool* pool, WindowOutput& out);
    void on_watermark(Timestamp watermark, std::uint64_t position, WindowOutput& out);
    void on_processing_time(Timestamp now, std::uint64_t position, WindowOutput& out);

    [[nodiscard]] std::vector<WindowVerdict> explain(const RecordBatch& batch) {
        return shards_[shard_of(batch.keys->hash(batch.key[0]))]->windows.explain(batch);
    }

    [[nodiscard]] std::vector<ResultColumn> make_result_columns() const {
        return shards_[0]->windows.make_result_columns();
    }
    [[nodiscard]] std::size_t live_keys() const noexcept;
    [[nodiscard]] std::size_t live_slices() const noexcept;
    [[nodiscard]] std::size_t state_bytes() const noexcept;
    /// How many records each shard has been given.
    [[nodiscard]] std::vector<std::uint64_t> records_by_shard() const;

    void encode(ByteWriter& out) const;
    /// Into a new operator of the same plan; the number of shards may differ.
    void decode(ByteReader& in);

    /// For checkpoints, see AlignedWindows.
    void begin_store(StateChanges& changes, const std::string& prefix, ByteWriter& out);
    bool store(std::size_t& budget);
    void forget_stored();
    void take_obsolete(std::vector<std::string>& names);
    void use_spill(Spill& spill, const std::string& prefix);

private:
    struct Shard {
        Shard(const WindowPlan& plan, MetricRow row) : windows(plan, std::move(row)) {}

        WindowOperator windows;
        WindowOutput out;
        std::uint64_t records = 0;

        /// Which records of the current batch are the shard's.
        std::vector<std::uint32_t> stream_record;
        BatchPart part;
    };

    void divide(const RecordBatch& batch);
    /// Lets the only shard take a step, and brings what fires into the order of output.
    template <typename Step>
    void in_order(WindowOutput& out, Step step);
    template <typename Step>
    void for_each_shard(WindowOutput& out, Step step);
    void collect(WindowOutput& out);
    [[nodiscard]] std::size_t shard_of(std::uint64_t hash) const noexcept {
        // The upper half: tables within a shard use the lower bits.
        return ((hash >> 32) * shards_.size()) >> 32;
    }

    /// Whether one shard's panes come in the order of output anyway.
    const bool fires_in_order_;
    std::vector<std::unique_ptr<Shard>> shards_;
    std::vector<std::uint32_t> shard_of_key_;
};

}  // namespace llmopt_stream
