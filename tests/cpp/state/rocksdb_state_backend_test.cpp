#include "state/rocksdb_state_backend.hpp"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <algorithm>
#include <filesystem>
#include <functional>
#include <set>

#include "record/error.hpp"
#include "state/temporary_directory.hpp"

namespace llmopt_stream {
namespace {

namespace fs = std::filesystem;

class RocksDBState : public testing::Test {
protected:
    [[nodiscard]] std::unique_ptr<StateBackend> open() const {
        return std::make_unique<RocksDBStateBackend>(state_.string(), checkpoints_.string());
    }
    static void put(StateBackend& backend, const std::string& key, const std::string& value) {
        StateChanges changes;
        changes.put(key, value);
        backend.apply(changes);
    }
    /// A start after a crash: the live keys were not closed.
    void crash(std::unique_ptr<StateBackend> backend) const {
        backend.reset();
        fs::remove(state_ / "CLOSED");
    }
    [[nodiscard]] fs::path checkpoint(std::uint64_t id) const {
        return checkpoints_ / CheckpointDirectory::name_of(id);
    }
    [[nodiscard]] static std::set<fs::path> files_in(const fs::path& directory) {
        std::set<fs::path> files;
        for (const fs::directory_entry& entry : fs::directory_iterator(directory)) {
            files.insert(entry.path().filename());
        }
        return files;
    }
    static std::string error_of(const std::function<void()>& call, ErrorKind kind) {
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
    fs::path state_ = directory_ / "state";
    fs::path checkpoints_ = directory_ / "checkpoints";
};

TEST_F(RocksDBState, KeepsKeysOverClose) {
    put(*open(), "a", "1");
    EXPECT_EQ(open()->get("a"), "1");
    EXPECT_EQ(open()->get("a"), "1");
}

TEST_F(RocksDBState, WithoutCloseBeginsWithTheNewestCheckpoint) {
    auto backend = open();
    put(*backend, "a", "1");
    backend->checkpoint(1, {});
    put(*backend, "a", "2");
    crash(std::move(backend));
    EXPECT_EQ(open()->get("a"), "1");
}

TEST_F(RocksDBState, WithoutCloseAndCheckpointBeginsEmpty) {
    auto backend = open();
    put(*backend, "a", "1");
    crash(std::move(backend));
    EXPECT_EQ(open()->get("a"), std::nullopt);
}

TEST_F(RocksDBState, WithoutCloseAndWithADamagedCheckpointSaysSoUntilAnotherIsRestored) {
    auto backend = open();
    put(*backend, "a", "1");
    backend->checkpoint(1, {});
    put(*backend, "a", "2");
    backend->checkpoint(2, {});
    crash(std::move(backend));
    fs::remove(checkpoint(2) / "CURRENT");

    backend = open();
    for (int attempt = 0; attempt < 2; ++attempt) {
        const std::string error = error_of([&] { (void)backend->get("a"); }, ErrorKind::kState);
        EXPECT_NE(error.find("CURRENT: it is missing"), std::string::npos) << error;
    }
    (void)backend->restore(1);
    EXPECT_EQ(backend->get("a"), "1");
    backend->checkpoint(3, {});
}

TEST_F(RocksDBState, ReadsExpiredValuesAsGoneAfterCloseToo) {
    {
        auto backend = open();
        StateChanges changes;
        changes.put("a", "1", 10);
        backend->apply(changes);
        backend->set_expired_before(10);
    }
    EXPECT_EQ(open()->get("a"), std::nullopt);
}

TEST_F(RocksDBState, UnchangedFilesAreSharedBetweenCheckpoints) {
    auto backend = open();
    put(*backend, "a", std::string(100'000, 'x'));
    backend->checkpoint(1, {});
    put(*backend, "b", "2");
    backend->checkpoint(2, {});
    std::size_t shared = 0;
    for (const fs::path& name : files_in(checkpoint(1))) {
        shared += name.extension() == ".sst" && fs::equivalent(checkpoint(1) / name, checkpoint(2) / name);
    }
    EXPECT_EQ(shared, 1u);
    backend->discard(1);
    EXPECT_EQ(backend->verify(2), std::vector<std::string>());
    (void)backend->restore(2);
    EXPECT_EQ(backend->get("b"), "2");
    backend->checkpoint(3, {});
    EXPECT_EQ(backend->verify(3), std::vector<std::string>());
}

TEST_F(RocksDBState, EveryTruncationAndAlterationOfAFileIsFound) {
    auto backend = open();
    for (int key = 0; key < 100; ++key) {
        put(*backend, "key" + std::to_string(key), std::string(50, 'x'));
    }
    backend->checkpoint(1, "manifest");
    const std::set<fs::path> names = files_in(checkpoint(1));
    ASSERT_GE(names.size(), 5u);
    const auto expect_damaged = [&](const fs::path& name) {
        EXPECT_EQ(backend->verify(1).size(), 1u) << name;
        const std::string error = error_of([&] { (void)backend->restore(1); }, ErrorKind::kCheckpoint);
        EXPECT_NE(error.find(checkpoint(1).string()), std::string::npos) << error;
        EXPECT_EQ(backend->get("key0"), std::string(50, 'x')) << "a restore that fails leaves the keys alone";
    };
    for (const fs::path& name : names) {
        const fs::path file = checkpoint(1) / name;
        const std::string bytes = content_of(file);
        for (std::size_t at = 0; at < bytes.size(); at += 1 + bytes.size() / 50) {
            std::string altered = bytes;
            altered[at] = static_cast<char>(altered[at] ^ 1);
            replace_content(file, altered);
            expect_damaged(name);
            replace_content(file, bytes.substr(0, at));
            expect_damaged(name);
            EXPECT_NE(backend->checkpoints().front().damage, "");
        }
        replace_content(file, bytes + "x");
        expect_damaged(name);
        fs::remove(file);
        expect_damaged(name);
        replace_content(file, bytes);
        EXPECT_EQ(backend->verify(1), std::vector<std::string>()) << name;
    }
    EXPECT_EQ(backend->restore(1), "manifest");
}

TEST_F(RocksDBState, DamagedCheckpointsAreListedAndTheirIdsAreTaken) {
    auto backend = open();
    backend->checkpoint(1, "one");
    backend->checkpoint(2, "two");
    replace_content(checkpoint(2) / "CHECKPOINT", "nonsense");
    fs::create_directory(checkpoint(3));
    backend = nullptr;
    backend = open();
    const std::vector<CheckpointInfo> infos = backend->checkpoints();
    ASSERT_EQ(infos.size(), 3u);
    EXPECT_EQ(infos[0].damage, "");
    EXPECT_NE(infos[1].damage.find("too short"), std::string::npos) << infos[1].damage;
    EXPECT_NE(infos[2].damage.find("CHECKPOINT: open: No such file"), std::string::npos) << infos[2].damage;
    (void)error_of([&] { backend->checkpoint(3, {}); }, ErrorKind::kState);
    backend->discard(2);
    backend->discard(3);
    backend->checkpoint(4, {});
}

TEST_F(RocksDBState, SweepsLeftoversAtTheStart) {
    (void)open();
    for (const char* const name : {"unfinished-00000000000000000007", "unfinished-00000000000000000007.tmp",
                                   "discarded-00000000000000000001"}) {
        fs::create_directory(checkpoints_ / name);
        replace_content(checkpoints_ / name / "000009.sst", "x");
    }
    fs::create_directory(checkpoints_ / "of somebody else");
    auto backend = open();
    EXPECT_EQ(files_in(checkpoints_),
              (std::set<fs::path>{"LLMOPT_STREAM_STATE", "LOCK", "of somebody else"}));
    EXPECT_EQ(backend->checkpoints().size(), 0u);
}

TEST_F(RocksDBState, ADirectoryServesOneBackendAtATime) {
    const auto backend = open();
    const std::string error = error_of([&] { (void)open(); }, ErrorKind::kState);
    EXPECT_NE(error.find(state_.string()), std::string::npos) << error;
    EXPECT_NE(error.find("process " + std::to_string(::getpid())), std::string::npos) << error;
    const std::string other =
        error_of([&] { RocksDBStateBackend((directory_ / "other").string(), checkpoints_.string()); },
                 ErrorKind::kState);
    EXPECT_NE(other.find(checkpoints_.string()), std::string::npos) << other;
}

TEST_F(RocksDBState, BothDirectoriesInOneAreRefused) {
    (void)error_of([&] { RocksDBStateBackend(state_.string(), state_.string() + "/."); },
                   ErrorKind::kConfiguration);
}

TEST_F(RocksDBState, ADirectoryWithOtherThingsInItIsLeftAlone) {
    fs::create_directory(state_);
    replace_content(state_ / "thesis.txt", "years of work");
    const std::string error = error_of([&] { (void)open(); }, ErrorKind::kState);
    EXPECT_NE(error.find("not of llmopt_stream"), std::string::npos) << error;
    EXPECT_EQ(files_in(state_), std::set<fs::path>{"thesis.txt"});
}

TEST_F(RocksDBState, SymbolicLinksAndWorldWritableDirectoriesAreRefused) {
    fs::create_directory(directory_ / "elsewhere");
    fs::create_directory_symlink(directory_ / "elsewhere", state_);
    EXPECT_NE(error_of([&] { (void)open(); }, ErrorKind::kState).find("symbolic link"), std::string::npos);
    fs::remove(state_);
    fs::create_directory(state_);
    ASSERT_EQ(::chmod(state_.c_str(), 0777), 0);
    EXPECT_NE(error_of([&] { (void)open(); }, ErrorKind::kState).find("every user"), std::string::npos);
}

TEST_F(RocksDBState, DirectoriesAreTheOwnersAlone) {
    auto backend = open();
    put(*backend, "a", "1");
    backend->checkpoint(1, {});
    for (const fs::path& each : {state_, checkpoints_}) {
        EXPECT_EQ(fs::status(each).permissions(), fs::perms::owner_all) << each;
    }
}

TEST_F(RocksDBState, ALinkInACheckpointIsDamageAndIsNotFollowed) {
    auto backend = open();
    backend->checkpoint(1, {});
    replace_content(directory_ / "secret", content_of(checkpoint(1) / "CURRENT"));
    fs::remove(checkpoint(1) / "CURRENT");
    fs::create_symlink(directory_ / "secret", checkpoint(1) / "CURRENT");
    EXPECT_EQ(backend->verify(1).size(), 1u);
    backend->discard(1);
    EXPECT_TRUE(fs::exists(directory_ / "secret"));
}

TEST_F(RocksDBState, ADeletedDirectoryIsNamed) {
    auto backend = open();
    put(*backend, "a", "1");
    backend->checkpoint(1, {});
    fs::remove_all(checkpoints_);
    const std::string error = error_of([&] { backend->checkpoint(2, {}); }, ErrorKind::kCheckpoint);
    EXPECT_NE(error.find(checkpoints_.string() + ": it has been deleted"), std::string::npos) << error;
    EXPECT_EQ(backend->get("a"), "1");

    backend = nullptr;
    backend = open();
    put(*backend, "b", "1");
    fs::remove_all(state_);
    const std::string other = error_of([&] { backend->checkpoint(2, {}); }, ErrorKind::kCheckpoint);
    EXPECT_NE(other.find(state_.string() + ": it has been deleted"), std::string::npos) << other;
    EXPECT_NE(error_of([&] { backend->close(); }, ErrorKind::kState).find("is not kept"), std::string::npos);
}

TEST_F(RocksDBState, ExpiredKeysFreeTheirSpace) {
    auto backend = open();
    StateChanges changes;
    for (std::int64_t key = 0; key < 100'000; ++key) {
        changes.put("key" + std::to_string(key * 7919), std::to_string(key * 104'729), key);
    }
    backend->apply(changes);
    backend->checkpoint(1, {});
    EXPECT_GT(backend->checkpoints().back().bytes, 1'000'000u);
    backend->set_expired_before(100'000);
    backend->compact();
    backend->checkpoint(2, {});
    EXPECT_LT(backend->checkpoints().back().bytes, 20'000u);
}

}  // namespace
}  // namespace llmopt_stream
