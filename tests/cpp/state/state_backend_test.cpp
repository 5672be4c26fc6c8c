#include "state/state_backend.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <random>
#include <thread>

#include "record/error.hpp"
#include "state/memory_state_backend.hpp"
#include "state/rocksdb_state_backend.hpp"
#include "state/temporary_directory.hpp"

namespace llmopt_stream {
namespace {

using Entries = std::map<std::string, std::string>;

/// The same tests for every backend.
class StateBackends : public testing::TestWithParam<const char*> {
protected:
    StateBackends() {
        if (std::string(GetParam()) == "memory") {
            backend_ = std::make_unique<MemoryStateBackend>();
        } else {
            // Small memtables, so that files are written and merged.
            backend_ = std::make_unique<RocksDBStateBackend>((directory_ / "state").string(),
                                                             (directory_ / "checkpoints").string(),
                                                             RocksDBMemory{64 << 10, 64 << 10});
        }
    }

    void put(std::string key, std::string value, Timestamp expires = kNeverExpires) {
        StateChanges changes;
        changes.put(std::move(key), std::move(value), expires);
        backend_->apply(changes);
    }
    void del(std::string key) {
        StateChanges changes;
        changes.del(std::move(key));
        backend_->apply(changes);
    }
    Entries entries(std::string_view prefix = {}, std::string_view from = {}) {
        Entries found;
        std::string before;
        backend_->scan(
            prefix,
            [&](std::string_view key, std::string_view value) {
                EXPECT_TRUE(found.empty() || before < key) << "keys ascend";
                before = key;
                found.emplace(key, value);
                return true;
            },
            from);
        return found;
    }
    std::string error_of(const std::function<void()>& call, ErrorKind kind) {
        try {
            call();
        } catch (const Error& error) {
            EXPECT_EQ(error.kind(), kind) << error.what();
            return error.what();
        }
        ADD_FAILURE() << "nothing was thrown";
        return {};
    }

    TemporaryDirectory directory_;
    std::unique_ptr<StateBackend> backend_;
};

INSTANTIATE_TEST_SUITE_P(, StateBackends, testing::Values("memory", "rocksdb"),
                         [](const auto& each) { return each.param; });

TEST_P(StateBackends, GivesBackWhatWasPut) {
    const std::string bytes("\0\xff\n", 3);
    put("a", "1");
    put(bytes, bytes);
    put("", "");
    EXPECT_EQ(backend_->get("a"), "1");
    EXPECT_EQ(backend_->get(bytes), bytes);
    EXPECT_EQ(backend_->get(""), "");
    EXPECT_EQ(backend_->get("b"), std::nullopt);
    del("a");
    del("never there");
    EXPECT_EQ(backend_->get("a"), std::nullopt);
}

TEST_P(StateBackends, TheLastOfSeveralChangesToAKeyCounts) {
    StateChanges changes;
    changes.put("a", "1");
    changes.put("a", "2");
    changes.put("b", "1");
    changes.del("b");
    changes.del("c");
    changes.put("c", "3");
    backend_->apply(changes);
    EXPECT_EQ(entries(), (Entries{{"a", "2"}, {"c", "3"}}));
}

TEST_P(StateBackends, ScansAPrefixInTheOrderOfBytes) {
    for (const char* const key : {"b", "a\xff", "a", "aa", "ab", "A"}) {
        put(key, key);
    }
    EXPECT_EQ(entries("a"), (Entries{{"a", "a"}, {"aa", "aa"}, {"ab", "ab"}, {"a\xff", "a\xff"}}));
    EXPECT_EQ(entries("a", "ab"), (Entries{{"ab", "ab"}, {"a\xff", "a\xff"}}));
    EXPECT_EQ(entries("a", "b"), Entries());
    EXPECT_EQ(entries().size(), 6u);
    int visits = 0;
    backend_->scan("a", [&](std::string_view, std::string_view) { return ++visits < 2; });
    EXPECT_EQ(visits, 2);
}

TEST_P(StateBackends, RestoreBringsBackKeysAndManifest) {
    put("a", "1");
    put("b", "1");
    backend_->checkpoint(1, "first");
    put("a", "2");
    del("b");
    put("c", "2");
    backend_->checkpoint(5, {});
    put("d", "3");

    EXPECT_EQ(backend_->restore(1), "first");
    EXPECT_EQ(entries(), (Entries{{"a", "1"}, {"b", "1"}}));
    EXPECT_EQ(backend_->restore(5), "");
    EXPECT_EQ(entries(), (Entries{{"a", "2"}, {"c", "2"}}));
    put("a", "4");
    EXPECT_EQ(backend_->restore(5), "");
    EXPECT_EQ(backend_->get("a"), "2");
}

TEST_P(StateBackends, ListsCheckpointsByTheirIds) {
    put("a", std::string(1000, 'x'));
    backend_->checkpoint(9, "nine");
    backend_->checkpoint(10, "ten");
    backend_->checkpoint(18446744073709551615u, "last");
    const std::vector<CheckpointInfo> infos = backend_->checkpoints();
    ASSERT_EQ(infos.size(), 3u);
    EXPECT_EQ(infos[0].id, 9u);
    EXPECT_EQ(infos[1].id, 10u);
    EXPECT_EQ(infos[2].id, 18446744073709551615u);
    EXPECT_EQ(infos[1].manifest, "ten");
    EXPECT_EQ(infos[1].damage, "");
    EXPECT_GE(infos[1].bytes, 3u);
    EXPECT_GT(infos[0].created, 0);
    EXPECT_EQ(backend_->verify(10), std::vector<std::string>());
}

TEST_P(StateBackends, IdsHaveToGrow) {
    backend_->checkpoint(3, {});
    for (const std::uint64_t id : {3u, 2u, 0u}) {
        EXPECT_NE(error_of([&] { backend_->checkpoint(id, {}); }, ErrorKind::kState).find("ids have to grow"),
                  std::string::npos);
    }
    backend_->discard(3);
    (void)error_of([&] { backend_->checkpoint(3, {}); }, ErrorKind::kState);
    backend_->checkpoint(4, {});
    EXPECT_EQ(backend_->checkpoints().size(), 1u);
}

TEST_P(StateBackends, ADiscardedCheckpointIsGone) {
    put("a", "1");
    backend_->checkpoint(1, {});
    backend_->checkpoint(2, {});
    backend_->discard(1);
    EXPECT_EQ(backend_->checkpoints().size(), 1u);
    for (const auto& call : std::vector<std::function<void()>>{[&] { (void)backend_->restore(1); },
                                                               [&] { (void)backend_->verify(1); },
                                                               [&] { backend_->discard(1); }}) {
        (void)error_of(call, ErrorKind::kCheckpoint);
    }
    EXPECT_EQ(backend_->get("a"), "1");
    EXPECT_EQ(backend_->restore(2), "");
}

TEST_P(StateBackends, ClearForgetsKeysAndKeepsCheckpoints) {
    put("a", "1");
    backend_->checkpoint(1, {});
    backend_->clear();
    EXPECT_EQ(entries(), Entries());
    put("b", "2");
    EXPECT_EQ(backend_->restore(1), "");
    EXPECT_EQ(entries(), (Entries{{"a", "1"}}));
}

TEST_P(StateBackends, ValuesExpireExactlyAtTheirTime) {
    put("a", "1", 10);
    put("b", "1", 11);
    put("c", "1");
    EXPECT_EQ(entries().size(), 3u);
    backend_->set_expired_before(9);
    EXPECT_EQ(entries().size(), 3u);
    backend_->set_expired_before(10);
    EXPECT_EQ(backend_->get("a"), std::nullopt);
    EXPECT_EQ(entries(), (Entries{{"b", "1"}, {"c", "1"}}));
    backend_->set_expired_before(5);
    EXPECT_EQ(entries().size(), 2u) << "time does not go back";
    backend_->set_expired_before(kMaxTimestamp);
    EXPECT_EQ(entries(), (Entries{{"c", "1"}})) << "not even the end of input is after never";
    backend_->compact();
    EXPECT_EQ(entries(), (Entries{{"c", "1"}}));
}

TEST_P(StateBackends, ACheckpointHoldsWhatHadExpired) {
    put("a", "1", 10);
    put("b", "1", 20);
    backend_->set_expired_before(10);
    backend_->checkpoint(1, {});
    backend_->set_expired_before(20);
    backend_->compact();
    EXPECT_EQ(entries(), Entries());
    (void)backend_->restore(1);
    EXPECT_EQ(entries(), (Entries{{"b", "1"}}));
}

TEST_P(StateBackends, CountsTheBytesOfKeysAndValues) {
    StateChanges changes;
    changes.put("key", "value");
    changes.del("gone");
    backend_->apply(changes);
    EXPECT_EQ(backend_->bytes_written(), 12u);
    (void)backend_->get("key");
    (void)backend_->get("gone");
    (void)entries();
    EXPECT_EQ(backend_->bytes_read(), 16u);
}

TEST_P(StateBackends, ACheckpointMadeMeanwhileHoldsWholeChanges) {
    std::atomic<bool> stop{false};
    std::atomic<int> applied{0};
    std::thread writer([&] {
        for (int number = 1; !stop; ++number) {
            StateChanges changes;
            for (const char* const key : {"a", "b", "c"}) {
                changes.put(key, std::to_string(number));
            }
            changes.put(std::to_string(number % 500), std::string(500, 'x'));
            backend_->apply(changes);
            applied = number;
        }
    });
    std::map<std::uint64_t, int> at_least;
    for (std::uint64_t id = 1; id <= 20; ++id) {
        for (const int before = applied; applied < before + 20;) {
            std::this_thread::yield();
        }
        at_least[id] = applied;
        backend_->checkpoint(id, {});
        EXPECT_EQ(backend_->get("a").has_value(), true);
    }
    stop = true;
    writer.join();
    for (const auto& [id, number] : at_least) {
        (void)backend_->restore(id);
        EXPECT_GE(std::stoi(backend_->get("a").value()), number) << "what was applied before is in it";
        EXPECT_EQ(backend_->get("a"), backend_->get("b"));
        EXPECT_EQ(backend_->get("a"), backend_->get("c"));
    }
}

TEST_P(StateBackends, RefusesEverythingOnceClosed) {
    put("a", "1");
    backend_->close();
    backend_->close();
    for (const auto& call : std::vector<std::function<void()>>{
             [&] { (void)backend_->get("a"); }, [&] { put("a", "2"); }, [&] { (void)entries(); },
             [&] { backend_->clear(); }, [&] { backend_->checkpoint(1, {}); },
             [&] { (void)backend_->restore(1); }, [&] { (void)backend_->checkpoints(); },
             [&] { (void)backend_->verify(1); }, [&] { backend_->discard(1); }, [&] { backend_->compact(); },
             [&] { backend_->set_expired_before(1); }}) {
        EXPECT_EQ(error_of(call, ErrorKind::kState), "the state backend is closed");
    }
}

TEST_P(StateBackends, BehavesAsAMapDoesOverRandomSteps) {
    std::mt19937 random(7);
    Entries model;
    std::map<std::uint64_t, Entries> checkpoints;
    std::uint64_t next_id = 1;
    for (int step = 0; step < 1000; ++step) {
        const std::string key = std::to_string(random() % 200);
        switch (random() % 20) {
            case 0:
                backend_->checkpoint(next_id, std::to_string(next_id));
                checkpoints[next_id++] = model;
                break;
            case 1:
                if (!checkpoints.empty() && random() % 4 == 0) {
                    const auto at = std::next(checkpoints.begin(), random() % checkpoints.size());
                    ASSERT_EQ(backend_->restore(at->first), std::to_string(at->first));
                    model = at->second;
                }
                break;
            case 2:
                if (checkpoints.size() > 3) {
                    backend_->discard(checkpoints.begin()->first);
                    checkpoints.erase(checkpoints.begin());
                }
                break;
            case 3:
            case 4:
            case 5:
                del(key);
                model.erase(key);
                break;
            default: {
                const std::string value(random() % 2000, static_cast<char>('a' + random() % 26));
                put(key, value);
                model[key] = value;
            }
        }
        if (step % 50 == 0) {
            ASSERT_EQ(entries(), model);
        }
    }
    for (const auto& [id, content] : checkpoints) {
        EXPECT_EQ(backend_->verify(id), std::vector<std::string>());
        (void)backend_->restore(id);
        ASSERT_EQ(entries(), content);
    }
}

}  // namespace
}  // namespace llmopt_stream
