#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "aggregate/result_column.hpp"
#include "aggregate/size_class_pool.hpp"
#include "record/record_batch.hpp"
#include "record/time.hpp"
#include "state/byte_codec.hpp"

namespace llmopt_stream {

/// Which pane results are of.
struct PanePlace {
    /// Encoded.
    std::string_view key;
    Interval window;
    /// How many input records had been taken when it fired.
    std::uint64_t position = 0;
};

/// Something to be computed of the records of one key in one window, in one pass: how states are made,
/// added to, merged and answered from. It is immutable itself; any number of threads may use it.
///
/// A state is state_bytes() raw bytes, aligned to 8, that the caller owns and may move with memcpy. What
/// does not fit lies in the pool, so a state needs destroy() unless its pool goes away as well.
///
/// Adding is a fold in arrival order: how the input is cut into calls changes no bit of a state.
class Metric {
public:
    Metric() = default;
    Metric(const Metric&) = delete;
    Metric& operator=(const Metric&) = delete;
    virtual ~Metric() = default;

    /// A multiple of 8.
    [[nodiscard]] virtual std::size_t state_bytes() const noexcept = 0;
    /// Makes an empty state.
    virtual void create(std::byte* state) const noexcept = 0;
    virtual void destroy(std::byte* state, SizeClassPool& pool) const noexcept = 0;

    /// Folds record first + i of the batch into the state at rows[i] + offset, for each i; rows may
    /// repeat. Returns how many records had no usable value.
    virtual std::uint64_t add(std::span<std::byte* const> rows, std::size_t offset, const RecordBatch& batch,
                              std::size_t first, SizeClassPool& pool) const = 0;
    /// The records of `from` come behind those of `into`.
    virtual void merge(std::byte* into, const std::byte* from, SizeClassPool& pool) const = 0;

    /// Appends an empty column for each result, in order.
    virtual void make_result_columns(std::vector<ResultColumn>& columns) const = 0;
    /// Appends one value to each of the columns, which are those of make_result_columns(). Throws
    /// Error(kAggregation) where there is none.
    virtual void append_results(const std::byte* state, const Interval& window,
                                std::span<ResultColumn> results) const = 0;
    /// The same for a pane of a pipeline.
    virtual void append_pane_results(const std::byte* state, const PanePlace& pane,
                                     std::span<ResultColumn> results) const {
        append_results(state, pane.window, results);
    }

    /// The same for the states at states[i] + offset, in order; after an Error the columns may differ in
    /// length.
    virtual void append_all_results(std::span<const std::byte* const> states, std::size_t offset,
                                    const Interval& window, std::span<ResultColumn> results) const {
        for (const std::byte* const state : states) {
            append_results(state + offset, window, results);
        }
    }

    /// decode(encode()) restores a state exactly. Without a value, the bytes are the same for every type
    /// of column.
    virtual void encode(const std::byte* state, ByteWriter& out) const = 0;
    /// Into an empty state, which stays empty if the bytes are corrupt: Error(kCheckpoint).
    virtual void decode(std::byte* state, ByteReader& in, SizeClassPool& pool) const = 0;

    /// Whether it reads the records' event times.
    [[nodiscard]] virtual bool reads_time() const noexcept { return false; }
    /// Whether it runs code that must stay in one thread.
    [[nodiscard]] virtual bool in_one_thread() const noexcept { return false; }
};

}  // namespace llmopt_stream
