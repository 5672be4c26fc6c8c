#include "state/rocksdb_state_backend.hpp"

#include <rocksdb/cache.h>
#include <rocksdb/convenience.h>
#include <rocksdb/db.h>
#include <rocksdb/env.h>
#include <rocksdb/filter_policy.h>
#include <rocksdb/listener.h>
#include <rocksdb/table.h>
#include <rocksdb/utilities/checkpoint.h>
#include <rocksdb/write_batch.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <cstdarg>
#include <utility>

#include "record/error.hpp"
#include "state/byte_codec.hpp"
#include "state/expiry_filter.hpp"
#include "state/kill_point.hpp"
#include "state/wall_clock.hpp"

namespace llmopt_stream {
namespace {

/// The entries of `path`.
const std::string kKeys = "live";
const std::string kRestoring = "restoring";
const std::string kReopening = "reopening";
/// There while the keys are as close() left them.
const std::string kClosed = "CLOSED";

constexpr std::uint32_t kClosedVersion = 1;
constexpr std::size_t kClosedBytes = sizeof(std::uint32_t) + sizeof(Timestamp);
constexpr std::size_t kBatchBytes = std::size_t{4} << 20;

/// RocksDB's own log would be one more file that a full disk hits: builds with assertions, as distributions
/// have them, end the process when a write to it follows one that failed. What matters is in the status of
/// each call.
class NoLog final : public rocksdb::Logger {
public:
    using rocksdb::Logger::Logv;
    void Logv(const char* /*format*/, va_list /*arguments*/) override {}
};

/// After an error for want of space RocksDB would look for more every few seconds, and refuse to resume
/// meanwhile. Here the next call is what resumes.
class NoRecoveryOfItsOwn final : public rocksdb::EventListener {
public:
    void OnErrorRecoveryBegin(rocksdb::BackgroundErrorReason /*reason*/, rocksdb::Status /*error*/,
                              bool* auto_recovery) override {
        *auto_recovery = false;
    }
};

/// While it lives, RocksDB deletes no file.
class FilesStay {
public:
    explicit FilesStay(rocksdb::DB& database) : database_(database) {
        database_.DisableFileDeletions().PermitUncheckedError();
    }
    FilesStay(const FilesStay&) = delete;
    FilesStay& operator=(const FilesStay&) = delete;
    ~FilesStay() { database_.EnableFileDeletions().PermitUncheckedError(); }

private:
    rocksdb::DB& database_;
};

rocksdb::Slice slice_of(std::string_view bytes) { return {bytes.data(), bytes.size()}; }
std::string_view view_of(const rocksdb::Slice& slice) { return {slice.data(), slice.size()}; }

rocksdb::WriteOptions write_options() {
    rocksdb::WriteOptions options;
    options.disableWAL = true;
    return options;
}

rocksdb::CompressionType compression() {
    const std::vector<rocksdb::CompressionType> known = rocksdb::GetSupportedCompressions();
    const bool has_lz4 = std::find(known.begin(), known.end(), rocksdb::kLZ4Compression) != known.end();
    return has_lz4 ? rocksdb::kLZ4Compression : rocksdb::kNoCompression;
}

rocksdb::Options database_options(const RocksDBMemory& memory, const std::atomic<Timestamp>& expired_before) {
    rocksdb::Options options;
    options.write_buffer_size = memory.memtable_bytes;
    options.max_write_buffer_number = 2;
    options.compression = compression();
    options.compaction_filter_factory = std::make_shared<ExpiryFilterFactory>(expired_before);
    options.max_open_files = 256;
    options.allow_fallocate = false;
    options.info_log = std::make_shared<NoLog>();
    // Every checkpoint copies it.
    options.max_manifest_file_size = std::size_t{1} << 20;
    options.stats_dump_period_sec = 0;
    options.stats_persist_period_sec = 0;
    options.max_bgerror_resume_count = 0;
    options.avoid_flush_during_shutdown = true;
    options.listeners.push_back(std::make_shared<NoRecoveryOfItsOwn>());

    rocksdb::BlockBasedTableOptions table;
    table.block_cache = rocksdb::NewLRUCache(memory.cache_bytes);
    table.cache_index_and_filter_blocks = true;
    table.filter_policy.reset(rocksdb::NewBloomFilterPolicy(10));
    table.checksum = rocksdb::kXXH3;
    options.table_factory.reset(rocksdb::NewBlockBasedTableFactory(table));
    return options;
}

/// Files of keys are written once and never changed.
bool is_immutable(const std::string& name) { return name.ends_with(".sst"); }

/// A limit on the size of files is to be an error that a call returns, not the end of the process.
void ignore_file_size_signal() {
    struct sigaction action{};
    if (::sigaction(SIGXFSZ, nullptr, &action) == 0 && action.sa_handler == SIG_DFL) {
        action.sa_handler = SIG_IGN;
        ::sigaction(SIGXFSZ, &action, nullptr);
    }
}

std::string checkpoint_text(std::uint64_t id) { return "checkpoint " + std::to_string(id); }

}  // namespace

RocksDBStateBackend::RocksDBStateBackend(const std::string& path, const std::string& checkpoint_path,
                                         RocksDBMemory memory)
    : memory_(memory) {
    if (OwnedDirectory::absolute(path) == OwnedDirectory::absolute(checkpoint_path)) {
        throw Error(ErrorKind::kConfiguration, "RocksDBStateBackend: path and checkpoint_path are both '" +
                                                   path + "'; expected two directories");
    }
    ignore_file_size_signal();
    directory_.emplace(path);
    checkpoint_directory_.emplace(checkpoint_path);
    checkpoints_.emplace(checkpoint_directory_->entries());
    checkpoints_->sweep();
    last_id_ = checkpoints_->newest();

    const Directory& directory = directory_->entries();
    directory.remove(kRestoring);
    directory.remove(kReopening);
    closed_mark_ = directory.contains(kClosed);
    if (closed_mark_ && directory.contains(kKeys)) {
        open_closed();
    }
}

void RocksDBStateBackend::open_closed() {
    const std::string mark = directory_->entries().read(kClosed);
    if (mark.size() != kClosedBytes) {
        return;  // The process ended while it was written.
    }
    ByteReader in(mark);
    if (in.read<std::uint32_t>() != kClosedVersion) {
        throw Error(ErrorKind::kState, directory_->entries().path_of(kClosed) + ": a newer release wrote it");
    }
    expired_before_ = in.read<Timestamp>();
    database_ = open_database(kKeys, true);
}

RocksDBStateBackend::~RocksDBStateBackend() {
    try {
        close();
    } catch (const std::exception&) {
        // The next backend on these directories begins with the newest checkpoint.
    }
}

Error RocksDBStateBackend::failure(const std::string& operation, const rocksdb::Status& status) const {
    return {ErrorKind::kState, directory_->path() + ": " + operation + ": " + status.ToString()};
}

void RocksDBStateBackend::require_open() const {
    if (closed_) {
        throw Error(ErrorKind::kState, "the state backend is closed");
    }
}

std::unique_ptr<rocksdb::DB> RocksDBStateBackend::open_database(const std::string& name,
                                                                bool must_exist) const {
    rocksdb::Options options = database_options(memory_, expired_before_);
    options.create_if_missing = !must_exist;
    rocksdb::DB* database = nullptr;
    const rocksdb::Status status = rocksdb::DB::Open(options, directory_->entries().path_of(name), &database);
    if (!status.ok()) {
        throw failure("open the keys", status);
    }
    return std::unique_ptr<rocksdb::DB>(database);
}

template <typename Use>
auto RocksDBStateBackend::with_database(Use use) {
    while (true) {
        {
            const std::shared_lock lock(mutex_);
            require_open();
            if (database_ != nullptr) {
                return use(*database_);
            }
        }
        const std::unique_lock lock(mutex_);
        require_open();
        open_keys();
    }
}

void RocksDBStateBackend::open_keys() {
    if (database_ != nullptr) {
        return;
    }
    if (!unavailable_.empty()) {
        throw Error(ErrorKind::kState, unavailable_);
    }
    const std::optional<std::uint64_t> newest = checkpoints_->newest();
    if (!newest) {
        open_empty();
        return;
    }
    try {
        (void)replace_keys(*newest, RestoreCheck::kBytes);
    } catch (const Error& error) {
        unavailable_ = directory_->path() +
                       ": its last user did not close it, and the newest checkpoint cannot be " +
                       "restored: " + error.what() + "; restore an older one";
        throw Error(ErrorKind::kState, unavailable_);
    }
}

void RocksDBStateBackend::open_empty() {
    drop_keys();
    database_ = open_database(kKeys, false);
    unavailable_.clear();
    unflushed_.clear();
    known_files_.clear();
}

void RocksDBStateBackend::drop_keys() {
    unmark_closed();
    database_.reset();
    unavailable_ =
        directory_->path() + ": its keys were being replaced when that failed; restore a checkpoint";
    directory_->entries().remove(kKeys);
}

std::optional<std::string> RocksDBStateBackend::get(std::string_view key) {
    return with_database([&](rocksdb::DB& database) -> std::optional<std::string> {
        rocksdb::PinnableSlice sealed;
        const rocksdb::Status status =
            database.Get(rocksdb::ReadOptions(), database.DefaultColumnFamily(), slice_of(key), &sealed);
        if (status.IsNotFound()) {
            return std::nullopt;
        }
        if (!status.ok()) {
            throw failure("get", status);
        }
        if (has_expired(expiring_value::expiry(view_of(sealed)), expired_before_)) {
            return std::nullopt;
        }
        std::string value(expiring_value::content(view_of(sealed)));
        bytes_read_ += key.size() + value.size();
        return value;
    });
}

void RocksDBStateBackend::apply(const StateChanges& changes) {
    // Each change takes a tag and two lengths beside its bytes.
    rocksdb::WriteBatch batch(bytes_of(changes) + changes.list().size() * (expiring_value::kHeader + 12));
    for (const StateChange& change : changes.list()) {
        if (change.value) {
            const std::array<rocksdb::Slice, 1> key{change.key};
            const std::array<rocksdb::Slice, 2> value{expiring_value::header(change.expires), *change.value};
            batch.Put({key.data(), key.size()}, {value.data(), value.size()});
        } else {
            batch.Delete(change.key);
        }
    }
    const auto write = [&] {
        return with_database([&](rocksdb::DB& database) {
            unmark_closed();
            const rocksdb::Status status = database.Write(write_options(), &batch);
            if (status.ok()) {
                unflushed_.add(changes);
            }
            return status;
        });
    };
    if (const rocksdb::Status failed = write(); !failed.ok()) {
        recover("write", failed);
        if (const rocksdb::Status again = write(); !again.ok()) {
            throw failure("write", again);
        }
    }
    bytes_written_ += bytes_of(changes);
    if (unflushed_.bytes() > memory_.memtable_bytes) {
        try {
            flush();
        } catch (const Error&) {
            // The changes are made. Whatever is wrong, the next write or checkpoint tells.
        }
    }
}

void RocksDBStateBackend::scan(std::string_view prefix, const Visit& visit, std::string_view from) {
    with_database([&](rocksdb::DB& database) {
        rocksdb::ReadOptions options;
        options.fill_cache = false;
        const std::unique_ptr<rocksdb::Iterator> at(database.NewIterator(options));
        for (at->Seek(slice_of(std::max(prefix, from))); at->Valid(); at->Next()) {
            const std::string_view key = view_of(at->key());
            if (!key.starts_with(prefix)) {
                break;
            }
            const std::string_view sealed = view_of(at->value());
            if (has_expired(expiring_value::expiry(sealed), expired_before_)) {
                continue;
            }
            const std::string_view value = expiring_value::content(sealed);
            bytes_read_ += key.size() + value.size();
            if (!visit(key, value)) {
                break;
            }
        }
        if (!at->status().ok()) {
            throw failure("scan", at->status());
        }
    });
}

void RocksDBStateBackend::clear() {
    const std::scoped_lock making(checkpoint_mutex_);
    const std::unique_lock lock(mutex_);
    require_open();
    open_empty();
}

void RocksDBStateBackend::set_expired_before(Timestamp time) {
    with_database([&](rocksdb::DB&) {
        unmark_closed();
        Timestamp before = expired_before_;
        while (before < time && !expired_before_.compare_exchange_weak(before, time)) {
        }
    });
}

void RocksDBStateBackend::compact() {
    with_database([&](rocksdb::DB& database) {
        rocksdb::CompactRangeOptions options;
        options.bottommost_level_compaction = rocksdb::BottommostLevelCompaction::kForceOptimized;
        if (const rocksdb::Status status = database.CompactRange(options, nullptr, nullptr); !status.ok()) {
            throw failure("compact", status);
        }
    });
}

void RocksDBStateBackend::recover(const std::string& operation, const rocksdb::Status& failed) {
    const std::unique_lock lock(mutex_);
    require_open();
    if (database_ == nullptr) {
        throw failure(operation, failed);
    }
    try {
        reopen_with_unflushed();
    } catch (const Error& error) {
        throw Error(ErrorKind::kState, failure(operation, failed).what() + std::string("; ") + error.what());
    }
}

void RocksDBStateBackend::reopen_with_unflushed() {
    // Not DB::Resume(): it waits for ever for a flush that was asked for when a compaction failed, and
    // refuses after some errors. What RocksDB has in memory can still be read.
    // 1. Another database of the same files, which takes no space.
    const Directory& directory = directory_->entries();
    directory.remove(kReopening);
    directory.make(kReopening);
    link_files(directory.open_entry(kReopening));
    std::unique_ptr<rocksdb::DB> reopened = open_database(kReopening, true);
    // 2. The keys that were changed since, as a flush would have written them.
    rocksdb::WriteBatch batch;
    const auto write = [&] {
        if (const rocksdb::Status status = reopened->Write(write_options(), &batch); !status.ok()) {
            throw failure("write again", status);
        }
        batch.Clear();
    };
    rocksdb::PinnableSlice sealed;
    for (const std::string& key : unflushed_.keys()) {
        sealed.Reset();
        const rocksdb::Status status =
            database_->Get(rocksdb::ReadOptions(), database_->DefaultColumnFamily(), key, &sealed);
        if (status.ok()) {
            batch.Put(key, sealed);
        } else if (status.IsNotFound()) {
            batch.Delete(key);
        } else {
            throw failure("read again", status);
        }
        if (batch.GetDataSize() >= kBatchBytes) {
            write();
        }
    }
    write();
    if (const rocksdb::Status status = reopened->Flush(rocksdb::FlushOptions()); !status.ok()) {
        throw failure("flush again", status);
    }
    // 3. It takes the place of the first.
    sealed.Reset();
    reopened.reset();
    drop_keys();
    directory.rename(kReopening, kKeys);
    database_ = open_database(kKeys, true);
    unavailable_.clear();
    unflushed_.clear();
}

void RocksDBStateBackend::link_files(const Directory& target) {
    // Compactions go on meanwhile; what they replace has to stay until it is linked.
    const FilesStay files_stay(*database_);
    std::vector<std::string> names;
    std::uint64_t manifest_size = 0;
    if (const rocksdb::Status status = database_->GetLiveFiles(names, &manifest_size, false); !status.ok()) {
        throw failure("list the files", status);
    }
    const Directory live = directory_->entries().open_entry(kKeys);
    for (const std::string& path : names) {
        const std::string name = path.substr(path.find_first_not_of('/'));
        if (is_immutable(name)) {
            target.link_or_copy(name, live);
        } else if (name.starts_with("MANIFEST-")) {
            // What follows may be a record that was cut short.
            target.write(name, live.read(name).substr(0, manifest_size));
        } else {
            target.copy(name, live);
        }
    }
}

void RocksDBStateBackend::flush() {
    const auto try_flush = [&] {
        return with_database([&](rocksdb::DB& database) {
            const UnflushedKeys::Keys flushed = unflushed_.take();
            const rocksdb::Status status = database.Flush(rocksdb::FlushOptions());
            if (!status.ok()) {
                unflushed_.give_back(flushed);
            }
            return status;
        });
    };
    if (const rocksdb::Status failed = try_flush(); !failed.ok()) {
        recover("flush", failed);
        if (const rocksdb::Status again = try_flush(); !again.ok()) {
            throw failure("flush", again);
        }
    }
}

void RocksDBStateBackend::unmark_closed() {
    if (!closed_mark_) {
        return;
    }
    const std::scoped_lock lock(closed_mark_mutex_);
    if (closed_mark_) {
        directory_->entries().remove(kClosed);
        directory_->entries().sync();
        closed_mark_ = false;
    }
}

void RocksDBStateBackend::checkpoint(std::uint64_t id, std::string_view manifest) {
    const std::scoped_lock making(checkpoint_mutex_);
    {
        const std::shared_lock lock(mutex_);
        require_open();
    }
    if (last_id_ && id <= *last_id_) {
        throw Error(ErrorKind::kState, checkpoint_directory_->path() + ": " + checkpoint_text(id) +
                                           ": ids have to grow, the last one is " +
                                           std::to_string(*last_id_));
    }
    try {
        make_checkpoint(id, manifest);
    } catch (const Error& error) {
        try {
            checkpoints_->sweep();
        } catch (const Error&) {
            // The next attempt, or the next start, sweeps.
        }
        throw Error(ErrorKind::kCheckpoint, checkpoint_text(id) + " cannot be made: " + error.what());
    }
    last_id_ = id;
}

void RocksDBStateBackend::make_checkpoint(std::uint64_t id, std::string_view manifest) {
    directory_->require_present();
    checkpoint_directory_->require_present();
    checkpoints_->sweep();
    if (checkpoints_->contains(id)) {
        // Of an attempt that failed when it had its name already, and could not take it back.
        checkpoints_->discard(id);
    }
    kill_point("checkpoint:before-flush");
    flush();

    kill_point("checkpoint:before-files");
    const std::string unfinished = CheckpointDirectory::unfinished_name_of(id);
    with_database([&](rocksdb::DB& database) {
        rocksdb::Checkpoint* made = nullptr;
        rocksdb::Status status = rocksdb::Checkpoint::Create(&database, &made);
        const std::unique_ptr<rocksdb::Checkpoint> checkpoint(made);
        if (status.ok()) {
            status = checkpoint->CreateCheckpoint(checkpoint_directory_->entries().path_of(unfinished));
        }
        if (!status.ok()) {
            throw failure("write the files", status);
        }
    });

    kill_point("checkpoint:before-checksums");
    std::vector<std::string> synced;
    KnownFiles known;
    const CheckpointManifest described = describe(id, manifest, synced, known);
    checkpoints_->publish(described, synced);
    known_files_ = std::move(known);
}

CheckpointManifest RocksDBStateBackend::describe(std::uint64_t id, std::string_view manifest,
                                                 std::vector<std::string>& synced, KnownFiles& known) const {
    CheckpointManifest described{id, wall_clock(), expired_before_, std::string(manifest), {}};
    const Directory checkpoint =
        checkpoint_directory_->entries().open_entry(CheckpointDirectory::unfinished_name_of(id));
    std::vector<std::string> names = checkpoint.names();
    std::sort(names.begin(), names.end());
    for (const std::string& name : names) {
        const FileFacts facts = checkpoint.file(name).value();
        const auto found = known_files_.find(name);
        const bool is_known = found != known_files_.end() && found->second.facts == facts;
        const FileDigest digest = is_known ? found->second.digest : digest_of(checkpoint, name);
        if (is_known) {
            synced.push_back(name);
        }
        if (is_immutable(name)) {
            known.emplace(name, KnownFile{facts, digest});
        }
        described.files.push_back({name, facts.size, digest});
    }
    return described;
}

std::string RocksDBStateBackend::restore(std::uint64_t id, RestoreCheck check) {
    const std::scoped_lock making(checkpoint_mutex_);
    const std::unique_lock lock(mutex_);
    require_open();
    try {
        return replace_keys(id, check);
    } catch (const Error& error) {
        throw Error(ErrorKind::kCheckpoint, checkpoint_text(id) + " cannot be restored: " + error.what());
    }
}

std::string RocksDBStateBackend::replace_keys(std::uint64_t id, RestoreCheck check) {
    kill_point("restore:before-check");
    CheckpointManifest manifest = checkpoints_->manifest(id);
    if (const std::vector<std::string> damages = checkpoints_->damage(id, check); !damages.empty()) {
        throw Error(ErrorKind::kCheckpoint, damages.front());
    }

    kill_point("restore:before-files");
    const Directory& directory = directory_->entries();
    directory.remove(kRestoring);
    directory.make(kRestoring);
    KnownFiles known;
    {
        const Directory checkpoint = checkpoints_->open(id);
        const Directory restoring = directory.open_entry(kRestoring);
        for (const CheckpointFile& file : manifest.files) {
            kill_point("restore:before-file");
            if (is_immutable(file.name)) {
                restoring.link_or_copy(file.name, checkpoint);
                known.emplace(file.name, KnownFile{restoring.file(file.name).value(), file.digest});
            } else {
                restoring.copy(file.name, checkpoint);
            }
        }
    }

    kill_point("restore:before-drop");
    drop_keys();
    kill_point("restore:before-rename");
    directory.rename(kRestoring, kKeys);
    kill_point("restore:before-open");
    expired_before_ = manifest.expired_before;
    database_ = open_database(kKeys, true);
    unavailable_.clear();
    unflushed_.clear();
    known_files_ = std::move(known);
    kill_point("restore:done");
    return std::move(manifest.manifest);
}

std::vector<CheckpointInfo> RocksDBStateBackend::checkpoints() {
    const std::shared_lock lock(mutex_);
    require_open();
    return checkpoints_->list();
}

std::vector<std::string> RocksDBStateBackend::verify(std::uint64_t id) {
    const std::shared_lock lock(mutex_);
    require_open();
    return checkpoints_->damage(id, RestoreCheck::kBytes);
}

void RocksDBStateBackend::discard(std::uint64_t id) {
    const std::scoped_lock making(checkpoint_mutex_);
    const std::shared_lock lock(mutex_);
    require_open();
    checkpoint_directory_->require_present();
    checkpoints_->discard(id);
}

void RocksDBStateBackend::close() {
    const std::scoped_lock making(checkpoint_mutex_);
    std::string lost;
    {
        const std::unique_lock lock(mutex_);
        if (closed_) {
            return;
        }
        closed_ = true;
        if (database_ != nullptr && !closed_mark_) {
            try {
                const rocksdb::Status flushed = database_->Flush(rocksdb::FlushOptions());
                if (!flushed.ok()) {
                    throw failure("flush", flushed);
                }
                database_.reset();
                ByteWriter mark;
                mark.write(kClosedVersion);
                mark.write(expired_before_.load());
                kill_point("close:before-mark");
                directory_->entries().write(kClosed, mark.bytes());
                directory_->entries().sync();
            } catch (const Error& error) {
                lost = error.what();
            }
        }
        database_.reset();
        checkpoints_.reset();
        checkpoint_directory_.reset();
        directory_.reset();
    }
    if (!lost.empty()) {
        throw Error(ErrorKind::kState, "what was applied after the last checkpoint is not kept: " + lost);
    }
}

}  // namespace llmopt_stream
