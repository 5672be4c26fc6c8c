#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <shared_mutex>
#include <string>
#include <unordered_map>
#include <vector>

#include "record/error.hpp"
#include "state/checkpoint_directory.hpp"
#include "state/owned_directory.hpp"
#include "state/state_backend.hpp"
#include "state/unflushed_keys.hpp"

namespace rocksdb {
class DB;
class Status;
}  // namespace rocksdb

namespace llmopt_stream {

/// What RocksDB keeps in memory: at most two memtables, of which one is being written out, and the cache.
struct RocksDBMemory {
    std::size_t memtable_bytes = std::size_t{16} << 20;
    std::size_t cache_bytes = std::size_t{8} << 20;
    [[nodiscard]] std::size_t total() const noexcept { return 2 * memtable_bytes + cache_bytes; }
};

/// Keys in RocksDB at `path`, checkpoints below `checkpoint_path`, on the same file system as hard links to
/// the same files. Each directory belongs to one backend at a time.
///
/// There is no write-ahead log: what was applied after the last checkpoint is lost with the process. close()
/// keeps the keys for the next one. Where it was not called, the next one begins with the newest checkpoint,
/// at the first operation that needs keys; if that checkpoint is damaged, every such operation says so until
/// restore() is called.
class RocksDBStateBackend final : public StateBackend {
public:
    RocksDBStateBackend(const std::string& path, const std::string& checkpoint_path,
                        RocksDBMemory memory = {});
    ~RocksDBStateBackend() override;

    [[nodiscard]] std::optional<std::string> get(std::string_view key) override;
    void apply(const StateChanges& changes) override;
    void scan(std::string_view prefix, const Visit& visit, std::string_view from) override;
    void clear() override;
    void set_expired_before(Timestamp time) override;
    void compact() override;
    void checkpoint(std::uint64_t id, std::string_view manifest) override;
    std::string restore(std::uint64_t id, RestoreCheck check) override;
    [[nodiscard]] std::vector<CheckpointInfo> checkpoints() override;
    [[nodiscard]] std::vector<std::string> verify(std::uint64_t id) override;
    void discard(std::uint64_t id) override;
    [[nodiscard]] std::uint64_t bytes_written() const noexcept override { return bytes_written_; }
    [[nodiscard]] std::uint64_t bytes_read() const noexcept override { return bytes_read_; }
    void close() override;

    [[nodiscard]] const RocksDBMemory& memory() const noexcept { return memory_; }

private:
    struct KnownFile {
        FileFacts facts;
        FileDigest digest;
    };
    using KnownFiles = std::unordered_map<std::string, KnownFile>;

    [[nodiscard]] std::unique_ptr<rocksdb::DB> open_database(const std::string& name, bool must_exist) const;
    [[nodiscard]] Error failure(const std::string& operation, const rocksdb::Status& status) const;
    void require_open() const;
    /// Calls `use` with the open database, which stays open meanwhile.
    template <typename Use>
    auto with_database(Use use);
    void open_closed();
    void open_keys();
    void open_empty();
    /// With `mutex_` held alone, as in what follows.
    std::string replace_keys(std::uint64_t id, RestoreCheck check);
    void drop_keys();
    /// Ends the state of error that RocksDB is in after a write that failed; keeps all that was applied.
    /// Throws what failed if that cannot be.
    void recover(const std::string& operation, const rocksdb::Status& failed);
    void reopen_with_unflushed();
    void link_files(const Directory& target);

    void flush();
    void unmark_closed();
    void make_checkpoint(std::uint64_t id, std::string_view manifest);
    [[nodiscard]] CheckpointManifest describe(std::uint64_t id, std::string_view manifest,
                                              std::vector<std::string>& synced, KnownFiles& known) const;

    const RocksDBMemory memory_;
    std::atomic<Timestamp> expired_before_{kMinTimestamp};
    std::optional<OwnedDirectory> directory_;
    std::optional<OwnedDirectory> checkpoint_directory_;
    std::optional<CheckpointDirectory> checkpoints_;

    /// Held alone by what replaces the database, shared by what uses it.
    std::shared_mutex mutex_;
    /// One at a time: checkpoint, restore, discard. Taken before `mutex_`.
    std::mutex checkpoint_mutex_;
    std::unique_ptr<rocksdb::DB> database_;
    /// Why there is no database, if not because no operation has needed it yet.
    std::string unavailable_;
    bool closed_ = false;

    UnflushedKeys unflushed_;

    std::mutex closed_mark_mutex_;
    std::atomic<bool> closed_mark_{false};

    /// Files of the last checkpoint, which do not change and need not be read again.
    KnownFiles known_files_;
    std::optional<std::uint64_t> last_id_;
    std::atomic<std::uint64_t> bytes_written_{0};
    std::atomic<std::uint64_t> bytes_read_{0};
};

}  // namespace llmopt_stream
