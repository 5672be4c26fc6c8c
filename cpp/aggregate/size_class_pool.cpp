#include "aggregate/size_class_pool.hpp"

#include <algorithm>
#include <new>

namespace llmopt_stream {

SizeClassPool::~SizeClassPool() {
    free_arenas();
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
    const std::size_t class_size = class_bytes(size_class);
    Page* const page = with_room_[size_class] != nullptr ? with_room_[size_class] : add_page(size_class);
    void* block = page->free;
    if (block != nullptr) {
        page->free = page->free->next;
    } else {
        block = page->fresh;
        page->fresh += class_size;
    }
    ++page->used;
    if (page->free == nullptr && page->fresh == page->end) {
        unlink(page, size_class);
    }
    allocated_bytes_ += class_size;
    return block;
}

void SizeClassPool::release(void* block, std::size_t bytes) noexcept {
    if (bytes > kLargestClass) {
        release_large(block, bytes);
        return;
    }
    const std::size_t size_class = class_of(bytes);
    const std::size_t class_size = class_bytes(size_class);
    PageSource& source = source_of(class_size);
    auto* const page = reinterpret_cast<Page*>(reinterpret_cast<std::uintptr_t>(block) &
                                               ~(std::uintptr_t{source.page_bytes} - 1));
    const bool was_full = page->free == nullptr && page->fresh == page->end;
    page->free = ::new (block) FreeBlock{page->free};
    --page->used;
    allocated_bytes_ -= class_size;
    if (was_full) {
        link(page, size_class);
    }
    if (page->used == 0) {
        unlink(page, size_class);
        page->next = source.empty;
        source.empty = page;
    }
}

SizeClassPool::Page* SizeClassPool::add_page(std::size_t size_class) {
    const std::size_t class_size = class_bytes(size_class);
    PageSource& source = source_of(class_size);
    auto* begin = reinterpret_cast<std::byte*>(source.empty);
    if (begin != nullptr) {
        source.empty = source.empty->next;
    } else {
        if (source.fresh == source.end) {
            arenas_.push_back({nullptr, source.page_bytes});
            arenas_.back().begin = static_cast<std::byte*>(
                ::operator new(source.next_arena, std::align_val_t{source.page_bytes}));
            source.fresh = arenas_.back().begin;
            source.end = source.fresh + source.next_arena;
            reserved_bytes_ += source.next_arena;
            source.next_arena = std::min(source.next_arena * 2, kLargestArena);
        }
        begin = source.fresh;
        source.fresh += source.page_bytes;
    }
    const std::size_t blocks = (source.page_bytes - sizeof(Page)) / class_size;
    std::byte* const first = begin + sizeof(Page);
    Page* const page = ::new (begin) Page{nullptr, nullptr, nullptr, first, first + blocks * class_size, 0};
    link(page, size_class);
    return page;
}

void SizeClassPool::link(Page* page, std::size_t size_class) noexcept {
    Page*& head = with_room_[size_class];
    page->previous = nullptr;
    page->next = head;
    if (head != nullptr) {
        head->previous = page;
    }
    head = page;
}

void SizeClassPool::unlink(Page* page, std::size_t size_class) noexcept {
    (page->previous != nullptr ? page->previous->next : with_room_[size_class]) = page->next;
    if (page->next != nullptr) {
        page->next->previous = page->previous;
    }
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

void SizeClassPool::free_arenas() noexcept {
    for (const Arena& arena : arenas_) {
        ::operator delete(arena.begin, std::align_val_t{arena.alignment});
    }
    arenas_.clear();
}

void SizeClassPool::trim() noexcept {
    if (allocated_bytes_ != 0) {
        return;
    }
    free_arenas();
    with_room_.fill(nullptr);
    small_pages_ = {kSmallPage, 4 * kSmallPage};
    big_pages_ = {kBigPage, kBigPage};
    reserved_bytes_ = 0;
}

}  // namespace llmopt_stream
