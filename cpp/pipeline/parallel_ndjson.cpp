#include "pipeline/parallel_ndjson.hpp"

#include <limits>

namespace llmopt_stream {

ParallelNdjson::ParallelNdjson(const Schema& schema, std::size_t threads) {
    for (std::size_t lane = 0; lane < threads; ++lane) {
        lanes_.push_back(std::make_unique<Lane>(schema));
    }
}

bool ParallelNdjson::next(NdjsonReader& reader, WorkerPool& pool) {
    filled_ = 0;
    while (filled_ < lanes_.size() && reader.read_chunk(lanes_[filled_]->chunk)) {
        ++filled_;
    }
    if (filled_ == 0) {
        return false;
    }
    pool.run([this](std::size_t part) {
        if (part < filled_) {
            Lane& lane = *lanes_[part];
            // A chunk is bounded, and so is its number of records.
            (void)lane.chunk.decode(lane.decoder, lane.builder, std::numeric_limits<std::size_t>::max());
        }
    });
    return true;
}

}  // namespace llmopt_stream
