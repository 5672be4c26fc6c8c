#pragma once

#include <cstdint>
#include <utility>

// The Arrow C data interface and C stream interface. The layout of these structs is a
// public ABI; the guards let several libraries bring them along.
// https://arrow.apache.org/docs/format/CDataInterface.html
extern "C" {

#ifndef ARROW_C_DATA_INTERFACE
#define ARROW_C_DATA_INTERFACE

#define ARROW_FLAG_DICTIONARY_ORDERED 1
#define ARROW_FLAG_NULLABLE 2
#define ARROW_FLAG_MAP_KEYS_SORTED 4

struct ArrowSchema {
    const char* format;
    const char* name;
    const char* metadata;
    int64_t flags;
    int64_t n_children;
    struct ArrowSchema** children;
    struct ArrowSchema* dictionary;
    void (*release)(struct ArrowSchema*);
    void* private_data;
};

struct ArrowArray {
    int64_t length;
    int64_t null_count;
    int64_t offset;
    int64_t n_buffers;
    int64_t n_children;
    const void** buffers;
    struct ArrowArray** children;
    struct ArrowArray* dictionary;
    void (*release)(struct ArrowArray*);
    void* private_data;
};

#endif  // ARROW_C_DATA_INTERFACE

#ifndef ARROW_C_STREAM_INTERFACE
#define ARROW_C_STREAM_INTERFACE

struct ArrowArrayStream {
    int (*get_schema)(struct ArrowArrayStream*, struct ArrowSchema* out);
    int (*get_next)(struct ArrowArrayStream*, struct ArrowArray* out);
    const char* (*get_last_error)(struct ArrowArrayStream*);
    void (*release)(struct ArrowArrayStream*);
    void* private_data;
};

#endif  // ARROW_C_STREAM_INTERFACE

}  // extern "C"

namespace llmopt_stream {

/// Owns one of the structs above: calls `release` at the end unless it was released or
/// moved out before (then `release` is null, as the interface has it).
template <typename Struct>
class ArrowOwner {
public:
    ArrowOwner() noexcept = default;
    /// Moves the struct out of `source`, which is left released.
    explicit ArrowOwner(Struct* source) noexcept : value_(std::exchange(*source, Struct{})) {}
    ArrowOwner(ArrowOwner&& other) noexcept : value_(std::exchange(other.value_, Struct{})) {}
    ArrowOwner& operator=(ArrowOwner&& other) noexcept {
        if (this != &other) {
            reset();
            value_ = std::exchange(other.value_, Struct{});
        }
        return *this;
    }
    ~ArrowOwner() { reset(); }

    void reset() noexcept {
        if (value_.release != nullptr) {
            value_.release(&value_);
        }
        value_ = Struct{};
    }

    /// For a producer to fill; what was owned is released first.
    [[nodiscard]] Struct* receive() noexcept {
        reset();
        return &value_;
    }
    [[nodiscard]] explicit operator bool() const noexcept { return value_.release != nullptr; }
    [[nodiscard]] Struct* get() noexcept { return &value_; }
    [[nodiscard]] const Struct* get() const noexcept { return &value_; }
    [[nodiscard]] Struct* operator->() noexcept { return &value_; }
    [[nodiscard]] const Struct* operator->() const noexcept { return &value_; }
    [[nodiscard]] const Struct& operator*() const noexcept { return value_; }

private:
    Struct value_{};
};

using OwnedArrowSchema = ArrowOwner<ArrowSchema>;
using OwnedArrowArray = ArrowOwner<ArrowArray>;
using OwnedArrowStream = ArrowOwner<ArrowArrayStream>;

}  // namespace llmopt_stream
