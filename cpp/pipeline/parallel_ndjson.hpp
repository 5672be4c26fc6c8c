#pragma once

#include <cstddef>
#include <memory>
#include <vector>

#include "pipeline/worker_pool.hpp"
#include "record/batch_builder.hpp"
#include "source/json_decoder.hpp"
#include "source/ndjson_reader.hpp"

namespace llmopt_stream {

/// Decodes several chunks of newline-delimited JSON at a time, one to a thread: parsing is most
/// of the work. The batches come out in the order of the input, so what follows sees what one
/// thread would have given it.
class ParallelNdjson {
public:
    ParallelNdjson(const Schema& schema, std::size_t threads);

    /// Decodes the next chunks, as many as `pool` has parts; false at the end of the input.
    [[nodiscard]] bool next(NdjsonReader& reader, WorkerPool& pool);

    /// The batches of the last call, in order. Valid until the next one.
    [[nodiscard]] std::size_t size() const noexcept { return filled_; }
    [[nodiscard]] const BatchBuilder& operator[](std::size_t batch) const noexcept {
        return lanes_[batch]->builder;
    }

private:
    struct Lane {
        explicit Lane(const Schema& schema) : decoder(schema), builder(schema) {}

        NdjsonChunk chunk;
        JsonDecoder decoder;
        BatchBuilder builder;
    };

    std::vector<std::unique_ptr<Lane>> lanes_;
    std::size_t filled_ = 0;
};

}  // namespace llmopt_stream
