#include "aggregate/size_class_pool.hpp"

#include <algorithm>
#include <new>

namespace llmopt_stream {

SizeClassPool::~SizeClassPool() {
    while (large_ != nullptr) {
        LargeBlock* const next = large_->next;
        ::operator delete(large_);
        large_ = next;
    }
}

void* SizeClassPool::allocate(std::size_t bytes) {
    if (bytes > kLargestClass) {
        return allocate_large(bytes);
    }
    const std::size_t size_class = class_of(bytes);
    void* block = free_[size_class];
    if (block != nullptr) {
        free_[size_class] = free_[size_class]->next;
    } else {
        block = carve(class_bytes(size_class));
    }
    allocated_bytes_ += class_bytes(size_class);
    return block;
}

void SizeClassPool::release(void* block, std::size_t bytes) noexcept {
    if (bytes > kLargestClass) {
        release_large(block, bytes);
        return;
    }
    const std::size_t size_class = class_of(bytes);
    free_[size_class] = ::new (block) FreeBlock{free_[size_class]};
    allocated_bytes_ -= class_bytes(size_class);
}

void* SizeClassPool::carve(std::size_t bytes) {
    if (static_cast<std::size_t>(end_ - next_) < bytes) {
        std::unique_ptr<std::byte[]> chunk(new std::byte[next_chunk_]);
        chunks_.push_back(std::move(chunk));
        // The rest of the old chunk becomes free blocks, so that no byte is lost.
        while (static_cast<std::size_t>(end_ - next_) >= kStep) {
            std::size_t size_class = class_of(static_cast<std::size_t>(end_ - next_));
            if (size_class >= kClasses || class_bytes(size_class) > static_cast<std::size_t>(end_ - next_)) {
                --size_class;
            }
            free_[size_class] = ::new (next_) FreeBlock{free_[size_class]};
            next_ += class_bytes(size_class);
        }
        next_ = chunks_.back().get();
        end_ = next_ + next_chunk_;
        reserved_bytes_ += next_chunk_;
        next_chunk_ = std::min(next_chunk_ * 2, kLargestChunk);
    }
    std::byte* const block = next_;
    next_ += bytes;
    return block;
}

void* SizeClassPool::allocate_large(std::size_t bytes) {
    auto* const large = ::new (::operator new(sizeof(LargeBlock) + bytes)) LargeBlock{nullptr, large_};
    if (large_ != nullptr) {
        large_->previous = large;
    }
    large_ = large;
    allocated_bytes_ += bytes;
    reserved_bytes_ += bytes;
    return large + 1;
}

void SizeClassPool::release_large(void* block, std::size_t bytes) noexcept {
    LargeBlock* const large = static_cast<LargeBlock*>(block) - 1;
    (large->previous != nullptr ? large->previous->next : large_) = large->next;
    if (large->next != nullptr) {
        large->next->previous = large->previous;
    }
    ::operator delete(large);
    allocated_bytes_ -= bytes;
    reserved_bytes_ -= bytes;
}

void SizeClassPool::trim() noexcept {
    if (allocated_bytes_ != 0) {
        return;
    }
    free_.fill(nullptr);
    chunks_.clear();
    next_ = end_ = nullptr;
    next_chunk_ = kFirstChunk;
    reserved_bytes_ = 0;
}

}  // namespace llmopt_stream
