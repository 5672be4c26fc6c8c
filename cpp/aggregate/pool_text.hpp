#pragma once

#include <algorithm>
#include <cstddef>
#include <string_view>

#include "aggregate/size_class_pool.hpp"

namespace llmopt_stream {

/// A text in memory of a pool. It does not own the memory: destroy() gives it back, a copy refers to the
/// same.
class PoolText {
public:
    PoolText() = default;
    PoolText(std::string_view text, SizeClassPool& pool)
        : data_(static_cast<char*>(pool.allocate(text.size()))), size_(text.size()) {
        std::copy_n(text.data(), text.size(), data_);
    }
    [[nodiscard]] std::string_view view() const noexcept { return {data_, size_}; }
    void destroy(SizeClassPool& pool) noexcept {
        if (data_ != nullptr) {
            pool.release(data_, size_);
        }
        *this = {};
    }

private:
    char* data_ = nullptr;
    std::size_t size_ = 0;
};

}  // namespace llmopt_stream
