#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "aggregate/pool_array.hpp"
#include "aggregate/pool_text.hpp"
#include "aggregate/size_class_pool.hpp"
#include "state/byte_codec.hpp"

namespace llmopt_stream {

/// The most frequent of many values, by Space-Saving (Metwally et al., 2005) in the form whose summaries can
/// be merged (Agarwal et al., "Mergeable Summaries", 2012).
///
/// Of each value that it holds it says a count and an error: the true count is at most `count` and at least
/// `count - error`. The true count of any other value is at most floor(). No error is more than floor(),
/// and floor() is at most the number of all values / (capacity + 1).
///
/// Up to twice the capacity of different values are held with an error of 0; the state is then a function of
/// the multiset of values. One more, and what is no more frequent than the capacity's next value is dropped.
/// That depends on nothing but the counts so far: the state is a function of the order of values, and of
/// what is merged into what, but `a` merged into `b` equals `b` merged into `a`.
///
/// Plain pointers to memory of the pool, like QuantileSketch: it does not own it. The capacity is the same in
/// all calls.
class SpaceSaving {
public:
    struct Count {
        std::string_view value;
        std::uint64_t count;
        std::uint64_t error;
    };

    /// A value as its bytes and their hash_key().
    void add(std::string_view value, std::uint64_t hash, std::size_t capacity, SizeClassPool& pool);
    void merge(const SpaceSaving& other, std::size_t capacity, SizeClassPool& pool);
    void destroy(SizeClassPool& pool) noexcept;

    /// At most `most` of the values, by descending count, then ascending bytes. Valid until a change.
    [[nodiscard]] std::vector<Count> top(std::size_t most) const;
    [[nodiscard]] std::uint64_t total() const noexcept { return total_; }
    [[nodiscard]] std::uint64_t floor() const noexcept { return floor_; }

    /// Equal counts give equal bytes.
    void encode(ByteWriter& out) const;
    /// Throws Error(kCheckpoint) on bytes that encode() did not write for labels.
    [[nodiscard]] static SpaceSaving decode(ByteReader& in, std::size_t capacity, SizeClassPool& pool);

private:
    struct Entry {
        std::uint64_t hash;
        std::uint64_t count;  // more than the floor
        std::uint64_t error;
        PoolText value;
    };

    [[nodiscard]] Entry* find(std::string_view value, std::uint64_t hash) const noexcept;
    void insert(std::string_view value, std::uint64_t hash, std::uint64_t count, std::uint64_t error,
                SizeClassPool& pool);
    void index_all() noexcept;
    void drop_least(std::size_t capacity, SizeClassPool& pool);

    PoolArray<Entry> entries_;
    PoolArray<std::uint32_t> index_;  // open addressing; place + 1, 0 is empty; at most half full
    std::uint64_t total_ = 0;
    std::uint64_t floor_ = 0;
};

}  // namespace llmopt_stream
