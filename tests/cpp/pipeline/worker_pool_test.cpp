#include "pipeline/worker_pool.hpp"

#include <gtest/gtest.h>

#include <stdexcept>
#include <vector>

namespace llmopt_stream {
namespace {

TEST(WorkerPool, EveryPartOfEveryJobIsDoneOnceBeforeRunReturns) {
    WorkerPool pool(4);
    std::vector<int> done(pool.parts());
    for (int job = 0; job < 1'000; ++job) {
        pool.run([&](std::size_t part) { ++done[part]; });
    }
    EXPECT_EQ(done, std::vector<int>(4, 1'000));
}

TEST(WorkerPool, OnePartRunsOnTheCallersThread) {
    WorkerPool pool(1);
    std::thread::id worker;
    pool.run([&](std::size_t) { worker = std::this_thread::get_id(); });
    EXPECT_EQ(worker, std::this_thread::get_id());
}

TEST(WorkerPool, WhatTheFirstFailingPartThrowsComesOutAndThePoolGoesOn) {
    WorkerPool pool(3);
    for (int round = 0; round < 50; ++round) {
        try {
            pool.run([](std::size_t part) {
                if (part > 0) {
                    throw std::runtime_error(std::to_string(part));
                }
            });
            FAIL();
        } catch (const std::runtime_error& error) {
            EXPECT_STREQ(error.what(), "1");
        }
    }
    std::vector<int> done(pool.parts());
    pool.run([&](std::size_t part) { ++done[part]; });
    EXPECT_EQ(done, std::vector<int>(3, 1));
}

}  // namespace
}  // namespace llmopt_stream
