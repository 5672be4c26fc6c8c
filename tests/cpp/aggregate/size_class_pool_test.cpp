#include "aggregate/size_class_pool.hpp"

#include <gtest/gtest.h>

#include <cstdint>
#include <cstring>
#include <vector>

namespace llmopt_stream {
namespace {

TEST(SizeClassPool, ABlockIsAtMostAnEighthLargerThanAskedForAndNeverSmaller) {
    EXPECT_EQ(SizeClassPool::block_bytes(1), 16U);
    EXPECT_EQ(SizeClassPool::block_bytes(128), 128U);
    EXPECT_EQ(SizeClassPool::block_bytes(129), 144U);
    EXPECT_EQ(SizeClassPool::block_bytes(256), 256U);
    EXPECT_EQ(SizeClassPool::block_bytes(257), 288U);
    EXPECT_EQ(SizeClassPool::block_bytes(16384), 16384U);
    EXPECT_EQ(SizeClassPool::block_bytes(16385), 16385U);
    for (std::size_t bytes = 128; bytes <= 16384; ++bytes) {
        ASSERT_GE(SizeClassPool::block_bytes(bytes), bytes);
        ASSERT_LE(SizeClassPool::block_bytes(bytes), bytes + bytes / 8 + 1);
        ASSERT_EQ(SizeClassPool::block_bytes(SizeClassPool::block_bytes(bytes)),
                  SizeClassPool::block_bytes(bytes));
    }
}

TEST(SizeClassPool, AReleasedBlockIsReusedForItsClass) {
    SizeClassPool pool;
    void* const block = pool.allocate(100);
    pool.release(block, 100);
    EXPECT_EQ(pool.allocate(112), block);
    EXPECT_EQ(pool.allocated_bytes(), 112U);
}

TEST(SizeClassPool, BlocksOfAllSizesAreAlignedAndDoNotOverlap) {
    SizeClassPool pool;
    struct Block {
        unsigned char* begin;
        std::size_t bytes;
        unsigned char fill;
    };
    std::vector<Block> blocks;
    std::size_t handed_out = 0;
    for (int i = 0; i < 3000; ++i) {
        const std::size_t bytes = static_cast<std::size_t>(i * 37 % 20000) + 1;
        auto* const begin = static_cast<unsigned char*>(pool.allocate(bytes));
        ASSERT_EQ(reinterpret_cast<std::uintptr_t>(begin) % 16, 0U);
        blocks.push_back({begin, bytes, static_cast<unsigned char>(i)});
        std::memset(begin, blocks.back().fill, bytes);
        handed_out += SizeClassPool::block_bytes(bytes);
    }
    EXPECT_EQ(pool.allocated_bytes(), handed_out);
    EXPECT_GE(pool.reserved_bytes(), handed_out);
    for (const Block& block : blocks) {
        for (std::size_t i = 0; i < block.bytes; ++i) {
            ASSERT_EQ(block.begin[i], block.fill);
        }
        pool.release(block.begin, block.bytes);
    }
    EXPECT_EQ(pool.allocated_bytes(), 0U);
}

TEST(SizeClassPool, AClassThatAllBlocksHaveOutgrownLeavesItsMemoryToOthers) {
    SizeClassPool pool;
    std::vector<void*> blocks(5000);
    for (void*& block : blocks) {
        block = pool.allocate(512);
    }
    const std::size_t reserved = pool.reserved_bytes();
    for (std::size_t bytes = 512; bytes < 1024; bytes += 64) {
        // Each grows in turn, the old block being released after the new one was made.
        for (void*& block : blocks) {
            void* const larger = pool.allocate(bytes + 64);
            pool.release(block, bytes);
            block = larger;
        }
    }
    EXPECT_LT(pool.reserved_bytes(), 2 * reserved + 3 * (std::size_t{1} << 20));
}

TEST(SizeClassPool, BlocksOfWholeCacheLinesStartWithOne) {
    SizeClassPool pool;
    for (const std::size_t bytes : {64U, 128U, 256U, 512U, 1024U, 4096U}) {
        for (int i = 0; i < 100; ++i) {
            ASSERT_EQ(reinterpret_cast<std::uintptr_t>(pool.allocate(bytes)) % 64, 0U);
        }
    }
}

TEST(SizeClassPool, TrimGivesMemoryBackOnlyWhenNothingIsHandedOut) {
    SizeClassPool pool;
    void* const block = pool.allocate(40);
    pool.trim();
    EXPECT_GT(pool.reserved_bytes(), 0U);
    pool.release(block, 40);
    pool.trim();
    EXPECT_EQ(pool.reserved_bytes(), 0U);
    EXPECT_NE(pool.allocate(40), nullptr);
}

TEST(SizeClassPool, LargeBlocksGoBackToTheSystemAtOnce) {
    SizeClassPool pool;
    void* const first = pool.allocate(100'000);
    void* const second = pool.allocate(200'000);
    void* const third = pool.allocate(300'000);
    pool.release(second, 200'000);
    pool.release(third, 300'000);
    EXPECT_EQ(pool.reserved_bytes(), 100'000U);
    pool.release(first, 100'000);
    EXPECT_EQ(pool.reserved_bytes(), 0U);
}

}  // namespace
}  // namespace llmopt_stream
