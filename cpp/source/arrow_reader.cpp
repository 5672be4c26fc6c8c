#include "source/arrow_reader.hpp"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <optional>
#include <span>
#include <string>
#include <utility>

#include "record/error.hpp"
#include "source/arrow_keys.hpp"
#include "source/arrow_labels.hpp"
#include "source/arrow_times.hpp"
#include "source/arrow_values.hpp"

namespace llmopt_stream {
namespace {

[[noreturn]] void fail(OwnedArrowStream& stream, int code) {
    const char* text = stream->get_last_error == nullptr ? nullptr : stream->get_last_error(stream.get());
    throw Error(
        ErrorKind::kPipeline,
        "Arrow stream: " + std::string(text == nullptr || *text == '\0' ? std::strerror(code) : text));
}

OwnedArrowSchema schema_of(OwnedArrowStream& stream) {
    OwnedArrowSchema schema;
    if (!stream) {
        throw Error(ErrorKind::kPipeline, "Arrow stream: already consumed");
    }
    if (const int code = stream->get_schema(stream.get(), schema.receive()); code != 0) {
        fail(stream, code);
    }
    if (!schema || schema->dictionary != nullptr ||
        parse_arrow_format(schema->format).kind != ArrowKind::kStruct) {
        throw Error(ErrorKind::kConfiguration,
                    "Arrow stream: a table of named columns is expected; this is a stream of " +
                        (schema ? arrow_type_name(*schema) : std::string("nothing")));
    }
    return schema;
}

/// What a batch views: goes on living while someone keeps the batch.
struct BatchMemory {
    std::shared_ptr<const OwnedArrowArray> array;
    ArrowTimes::Buffers times;
    std::vector<std::uint32_t> keys;
    KeyDictionary dictionary;
    std::vector<ArrowValues::Buffers> values;
    std::vector<ArrowLabels::Buffers> labels;
};

}  // namespace

class ArrowReader::Implementation {
public:
    Implementation(OwnedArrowStream stream, const Schema& schema)
        : stream_(std::move(stream)),
          root_(schema_of(stream_)),
          times_(*root_, schema),
          keys_(*root_, schema) {
        values_.reserve(schema.values.size());
        for (const ValueField& field : schema.values) {
            values_.emplace_back(*root_, field);
            value_types_.push_back(values_.back().type());
        }
        for (const std::string& path : schema.labels) {
            labels_.emplace_back(*root_, path);
        }
    }

    [[nodiscard]] bool next(RecordBatch& out, std::size_t max_rows) {
        out.owner.reset();
        if (!advance()) {
            out = {};
            return false;
        }
        reuse_memory();
        const std::size_t size = std::min({kMaxRows, max_rows, rows_left()});
        read(size, out);
        row_ += size;
        return true;
    }

    [[nodiscard]] const std::vector<std::optional<FieldType>>& value_types() const noexcept {
        return value_types_;
    }
    [[nodiscard]] const std::array<std::uint64_t, kMalformedKinds>& malformed() const noexcept {
        return malformed_;
    }
    [[nodiscard]] const std::int64_t* suspicious_time() const noexcept {
        return times_.suspicious_time() ? &*times_.suspicious_time() : nullptr;
    }
    [[nodiscard]] std::size_t records_before_suspicious() const noexcept {
        return times_.records_before_suspicious();
    }

private:
    [[nodiscard]] std::size_t rows_left() const noexcept {
        return array_ == nullptr ? 0 : static_cast<std::size_t>((*array_)->length) - row_;
    }

    /// Makes sure that the array has rows left; false at the end of the stream.
    [[nodiscard]] bool advance() {
        while (rows_left() == 0) {
            array_.reset();
            row_ = 0;
            if (at_end_) {
                return false;
            }
            OwnedArrowArray array;
            if (const int code = stream_->get_next(stream_.get(), array.receive()); code != 0) {
                at_end_ = true;
                fail(stream_, code);
            }
            if (!array) {
                at_end_ = true;
                return false;
            }
            if (array->length < 0) {
                throw Error(ErrorKind::kPipeline, "Arrow stream: an array has a negative length");
            }
            array_ = std::make_shared<const OwnedArrowArray>(std::move(array));
        }
        return true;
    }

    void reuse_memory() {
        if (memory_ == nullptr || memory_.use_count() != 1) {
            memory_ = std::make_shared<BatchMemory>();
            memory_->values.resize(values_.size());
            memory_->labels.resize(labels_.size());
        }
        // Whoever dropped the batch last may have done so in another thread.
        std::atomic_thread_fence(std::memory_order_acquire);
        memory_->array = array_;
    }

    void read(std::size_t size, RecordBatch& out) {
        BatchMemory& memory = *memory_;
        const ArrowArray& array = **array_;
        if (memory.keys.size() < size) {
            memory.keys.resize(size);
        }
        times_.read(array, row_, size, memory.times);
        malformed_ = times_.malformed();
        std::span<const Timestamp> times = times_.times();
        ArrowRows rows = times_.rows();
        if (!keys_.read(array, row_, size, rows, memory.dictionary, memory.keys.data())) {
            rows = drop_unusable_keys(times, rows);
            times = {memory.times.times.data(), rows.size};
        }

        out.size = rows.size;
        out.event_time = times;
        out.key = {memory.keys.data(), rows.size};
        out.keys = &memory.dictionary;
        out.values.clear();
        for (std::size_t i = 0; i < values_.size(); ++i) {
            out.values.push_back(values_[i].read(array, row_, size, rows, memory.values[i]));
        }
        out.labels.clear();
        for (std::size_t i = 0; i < labels_.size(); ++i) {
            out.labels.push_back(labels_[i].read(array, row_, size, rows, memory.labels[i]));
        }
        out.input_index =
            rows.rows == nullptr ? std::span<const std::uint32_t>{} : std::span(rows.rows, rows.size);
        out.input_records = size;
        out.owner = memory_;
    }

    /// Moves the records with usable keys together; times and rows end up in the buffers.
    [[nodiscard]] ArrowRows drop_unusable_keys(std::span<const Timestamp> times, ArrowRows rows) {
        ArrowTimes::Buffers& buffers = memory_->times;
        buffers.times.resize(std::max(buffers.times.size(), rows.size));
        buffers.rows.resize(std::max(buffers.rows.size(), rows.size));
        std::size_t kept = 0;
        for (std::size_t i = 0; i < rows.size; ++i) {
            if (memory_->keys[i] == kUnusableKey) {
                continue;
            }
            buffers.times[kept] = times[i];
            buffers.rows[kept] = rows.rows == nullptr ? static_cast<std::uint32_t>(i) : rows.rows[i];
            memory_->keys[kept] = memory_->keys[i];
            ++kept;
        }
        malformed_[static_cast<std::size_t>(Malformed::kBadUtf8)] += rows.size - kept;
        return {.size = kept, .rows = buffers.rows.data()};
    }

    OwnedArrowStream stream_;
    OwnedArrowSchema root_;
    ArrowTimes times_;
    ArrowKeys keys_;
    std::vector<ArrowValues> values_;
    std::vector<ArrowLabels> labels_;
    std::vector<std::optional<FieldType>> value_types_;

    // Where in the stream.
    bool at_end_ = false;
    std::shared_ptr<const OwnedArrowArray> array_;
    std::size_t row_ = 0;

    // The batch.
    std::shared_ptr<BatchMemory> memory_;
    std::array<std::uint64_t, kMalformedKinds> malformed_{};
};

ArrowReader::ArrowReader(ArrowArrayStream* stream, const Schema& schema)
    : implementation_(std::make_unique<Implementation>(OwnedArrowStream(stream), schema)) {}

ArrowReader::~ArrowReader() = default;
ArrowReader::ArrowReader(ArrowReader&&) noexcept = default;
ArrowReader& ArrowReader::operator=(ArrowReader&&) noexcept = default;

const std::vector<std::optional<FieldType>>& ArrowReader::value_types() const noexcept {
    return implementation_->value_types();
}

bool ArrowReader::next(RecordBatch& out, std::size_t max_rows) {
    return implementation_->next(out, max_rows);
}

const std::array<std::uint64_t, kMalformedKinds>& ArrowReader::malformed() const noexcept {
    return implementation_->malformed();
}

const std::int64_t* ArrowReader::suspicious_time() const noexcept {
    return implementation_->suspicious_time();
}

std::size_t ArrowReader::records_before_suspicious() const noexcept {
    return implementation_->records_before_suspicious();
}

}  // namespace llmopt_stream
