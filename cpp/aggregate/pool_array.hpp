#pragma once

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <span>
#include <type_traits>

#include "aggregate/size_class_pool.hpp"

namespace llmopt_stream {

/// A growing array of plain values in memory of a pool: 24 bytes that fit in a state. It does not own the
/// memory: destroy() gives it back, a copy refers to the same.
template <typename T>
    requires std::is_trivially_copyable_v<T>
class PoolArray {
public:
    [[nodiscard]] std::size_t size() const noexcept { return size_; }
    [[nodiscard]] bool empty() const noexcept { return size_ == 0; }
    [[nodiscard]] T* begin() const noexcept { return data_; }
    [[nodiscard]] T* end() const noexcept { return data_ + size_; }
    [[nodiscard]] T& operator[](std::size_t at) const noexcept { return data_[at]; }
    [[nodiscard]] T& back() const noexcept { return data_[size_ - 1]; }
    [[nodiscard]] std::span<const T> values() const noexcept { return {data_, size_}; }

    void reserve(std::size_t size, SizeClassPool& pool) {
        if (size <= capacity_) {
            return;
        }
        const std::size_t wanted = std::max(size, capacity_ + capacity_ / 2);
        const std::size_t capacity = SizeClassPool::block_bytes(wanted * sizeof(T)) / sizeof(T);
        T* const data = static_cast<T*>(pool.allocate(capacity * sizeof(T)));
        std::copy_n(data_, size_, data);
        release(pool);
        data_ = data;
        capacity_ = capacity;
    }
    void push_back(const T& value, SizeClassPool& pool) {
        if (size_ == capacity_) {
            const T copy = value;  // it may lie in here
            reserve(size_ + 1, pool);
            data_[size_++] = copy;
        } else {
            data_[size_++] = value;
        }
    }
    void insert(std::size_t at, const T& value, SizeClassPool& pool) {
        const T copy = value;
        reserve(size_ + 1, pool);
        std::copy_backward(data_ + at, data_ + size_, data_ + size_ + 1);
        data_[at] = copy;
        ++size_;
    }
    /// None of the values may lie in here.
    void append(std::span<const T> values, SizeClassPool& pool) {
        reserve(size_ + values.size(), pool);
        std::copy_n(values.data(), values.size(), data_ + size_);
        size_ += values.size();
    }
    /// The same for a value repeated.
    void append(std::size_t times, const T& value, SizeClassPool& pool) {
        reserve(size_ + times, pool);
        std::fill_n(data_ + size_, times, value);
        size_ += times;
    }
    /// Back to the first `size` values. Keeps the memory.
    void shrink(std::size_t size) noexcept { size_ = size; }
    void destroy(SizeClassPool& pool) noexcept {
        release(pool);
        *this = {};
    }

private:
    void release(SizeClassPool& pool) noexcept {
        if (data_ != nullptr) {
            pool.release(data_, capacity_ * sizeof(T));
        }
    }

    T* data_ = nullptr;
    std::size_t size_ = 0;
    std::size_t capacity_ = 0;
};

}  // namespace llmopt_stream
