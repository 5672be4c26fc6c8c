#include "kafka/kafka_consumer.hpp"

#include <algorithm>
#include <cstring>
#include <iterator>
#include <utility>

namespace llmopt_stream {
namespace {

using std::chrono::milliseconds;
using Clock = std::chrono::steady_clock;
using WallClock = std::chrono::system_clock;

constexpr milliseconds kNoWait{0};
constexpr milliseconds kCloseDeadline{10'000};
constexpr milliseconds kCommitDeadline{5'000};
constexpr milliseconds kNewTopicDelay{2'000};
constexpr milliseconds kEndsDelay{3'000};

// The cooperative protocol commits wrong offsets before.
constexpr int kSoundCooperativeVersion = 0x020A0000;

// RD_KAFKA_RESP_ERR__LOG_TRUNCATION, which headers have from 2.1 on.
constexpr int kLogTruncation = -139;

KafkaClientSettings of_consumer(KafkaClientSettings client) {
    const bool cooperative = rd_kafka_version() >= kSoundCooperativeVersion;
    client.settings.emplace_back("partition.assignment.strategy",
                                 cooperative ? "cooperative-sticky" : "range");
    const KafkaProperties of_messages = KafkaMessages::settings();
    client.settings.insert(client.settings.end(), of_messages.begin(), of_messages.end());
    return client;
}

/// Errors that the client overcomes by itself.
bool is_passing(rd_kafka_resp_err_t error) {
    return is_retriable(error) || error == RD_KAFKA_RESP_ERR__MAX_POLL_EXCEEDED ||
           error == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART ||
           error == RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION || error == RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC ||
           error == RD_KAFKA_RESP_ERR_UNKNOWN_MEMBER_ID || error == RD_KAFKA_RESP_ERR_ILLEGAL_GENERATION ||
           error == RD_KAFKA_RESP_ERR_OFFSET_OUT_OF_RANGE;
}

bool is_gone(rd_kafka_resp_err_t error) {
    return error == RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET || static_cast<int>(error) == kLogTruncation;
}

}  // namespace

KafkaConsumer::KafkaConsumer(const KafkaConsumerSettings& settings)
    : KafkaClient(KafkaRole::kConsumer, of_consumer(settings.client)),
      settings_(settings),
      patterns_(settings.topics),
      records_(settings.cloud_events, settings.payloads) {}

KafkaConsumer::~KafkaConsumer() { close(); }

void KafkaConsumer::seek(const std::vector<std::string>& topics, const std::vector<KafkaOffset>& offsets) {
    const std::scoped_lock lock(mutex_);
    partitions_.seek(topics, offsets);
}

void KafkaConsumer::open() {
    const std::scoped_lock lock(mutex_);
    const auto existing = topics_existing();
    if (const rd_kafka_resp_err_t error = rd_kafka_poll_set_consumer(handle())) {
        throw kafka_failure("Kafka " + brokers(), error);
    }
    messages_.open(handle());
    starts_.emplace(handle(), brokers(), settings_.starts,
                    [this](const std::string& text) { log(kLogWarning, text); });
    polled_at_ = Clock::now();
    polled_at_wall_ = WallClock::now();
    if (settings_.until_end) {
        const auto topics = matching(existing);
        if (topics.empty()) {
            throw kafka_failure("Kafka " + brokers() + ": no topic matches",
                                RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART);
        }
        assign_until_end(topics);
        return;
    }
    const KafkaPartitionList topics = empty_partition_list();
    for (const std::string& topic : settings_.topics) {
        rd_kafka_topic_partition_list_add(topics.get(), topic.c_str(), RD_KAFKA_PARTITION_UA);
    }
    if (const rd_kafka_resp_err_t error = rd_kafka_subscribe(handle(), topics.get())) {
        throw kafka_failure("subscribe at " + brokers(), error);
    }
    subscribed_ = true;
    opened_at_ = Clock::now();
    keeper_ = std::thread([this] { keep_alive(); });
}

std::vector<std::pair<std::string, std::int32_t>> KafkaConsumer::topics_existing() {
    // A broker that has just started may not have heard of all topics yet.
    const Clock::time_point until = Clock::now() + std::min(settings_.starts.patience, kNewTopicDelay);
    while (true) {
        auto existing = KafkaClient::topics(settings_.starts.patience);
        const auto missing =
            std::find_if(settings_.topics.begin(), settings_.topics.end(), [&](const std::string& name) {
                return !name.starts_with('^') &&
                       std::none_of(existing.begin(), existing.end(), [&](const auto& topic) {
                           return topic.first == name && topic.second > 0;
                       });
            });
        if (missing == settings_.topics.end()) {
            return existing;
        }
        if (Clock::now() >= until) {
            throw kafka_failure(
                "Kafka " + brokers() + ": topic '" + *missing + "' does not exist, or may not be read",
                RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART);
        }
        std::this_thread::sleep_for(milliseconds(200));
    }
}

std::vector<std::pair<std::string, std::int32_t>> KafkaConsumer::matching(
    const std::vector<std::pair<std::string, std::int32_t>>& existing) const {
    std::vector<std::pair<std::string, std::int32_t>> topics;
    std::copy_if(existing.begin(), existing.end(), std::back_inserter(topics),
                 [&](const auto& topic) { return patterns_.match(topic.first); });
    std::sort(topics.begin(), topics.end());
    return topics;
}

void KafkaConsumer::assign_until_end(const std::vector<std::pair<std::string, std::int32_t>>& existing) {
    const KafkaPartitionList list = empty_partition_list();
    for (const auto& [topic, partitions] : existing) {
        for (std::int32_t partition = 0; partition < partitions; ++partition) {
            rd_kafka_topic_partition_list_add(list.get(), topic.c_str(), partition);
        }
    }
    counts_.rebalances = 1;
    static_cast<void>(starts_->look_up(list.get(), partitions_, true));
    const std::vector<KafkaStarts::Bounds> bounds = starts_->bounds_of(*list);
    const KafkaPartitionList unfinished = empty_partition_list();
    for (int at = 0; at < list->cnt; ++at) {
        Partition& partition = partitions_(list->elems[at].topic, list->elems[at].partition);
        partition.assigned = partition.fetching = partition.known = true;
        partition.next = list->elems[at].offset;
        partition.end = bounds[static_cast<std::size_t>(at)].end;
        if (!partition.finished()) {
            rd_kafka_topic_partition_list_add(unfinished.get(), partition.topic.c_str(), partition.index)
                ->offset = partition.next;
        }
    }
    if (const rd_kafka_resp_err_t error = rd_kafka_assign(handle(), unfinished.get())) {
        throw kafka_failure("assign partitions of " + brokers(), error);
    }
    partitions_changed_ = true;
}

// Rebalances: called within a poll, so under the lock ----------------------------------------------------

void KafkaConsumer::on_rebalance(rd_kafka_resp_err_t event, rd_kafka_topic_partition_list_t* partitions) {
    try {
        if (event == RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS) {
            assign(partitions);
        } else {
            revoke(*partitions);
        }
    } catch (const KafkaFailure& failure) {
        failure_ = failure;
    } catch (const std::exception& error) {
        failure_ = KafkaFailure(error.what(), rd_kafka_err2name(RD_KAFKA_RESP_ERR__FAIL), false);
    }
    if (failure_) {
        fetch_nothing_of(event, *partitions);
    }
}

void KafkaConsumer::assign(rd_kafka_topic_partition_list_t* partitions) {
    if (closing_) {
        fetch_nothing_of(RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS, *partitions);
        return;
    }
    ++counts_.rebalances;
    const bool is_first = counts_.rebalances == 1;
    const KafkaPartitionList without_commit = starts_->look_up(partitions, partitions_, is_first);
    partitions_.for_each_assigned([](Partition& each) { each.assigned = each.fetching; });
    for (int at = 0; at < partitions->cnt; ++at) {
        Partition& partition = partitions_(partitions->elems[at].topic, partitions->elems[at].partition);
        partition.assigned = partition.fetching = partition.known = true;
        partition.at_end = partition.end_is_unknown = false;
        partition.told_end = KafkaPartitions::kUnknown;
        partition.next = partition.committed = partitions->elems[at].offset;
    }
    if (is_first) {
        partitions_.leave_to_others();
    }
    partitions_changed_ = true;
    if (settings_.grouping == KafkaGrouping::kSingle) {
        refuse_part_of_topics();
    }
    fetch(partitions);
    if (!settings_.auto_commit) {
        // Of who has nothing to commit, the next one starts where this one does.
        commit(without_commit.get());
    }
    // A pause may outlast a revocation, during which next() had nothing to resume, or not outlast an
    // assignment.
    set_paused(paused_);
}

bool KafkaConsumer::is_cooperative() const {
    return std::strcmp(rd_kafka_rebalance_protocol(handle()), "COOPERATIVE") == 0;
}

void KafkaConsumer::fetch(const rd_kafka_topic_partition_list_t* partitions) {
    if (is_cooperative()) {
        const KafkaHandle<rd_kafka_error_t> error(rd_kafka_incremental_assign(handle(), partitions));
        if (error != nullptr) {
            throw kafka_failure("assign partitions of " + brokers(), rd_kafka_error_code(error.get()),
                                rd_kafka_error_string(error.get()));
        }
    } else if (const rd_kafka_resp_err_t error = rd_kafka_assign(handle(), partitions)) {
        throw kafka_failure("assign partitions of " + brokers(), error);
    }
}

void KafkaConsumer::fetch_nothing_of(rd_kafka_resp_err_t event,
                                     const rd_kafka_topic_partition_list_t& partitions) {
    // librdkafka waits for one of these calls, of the kind that the group's protocol has.
    if (!is_cooperative()) {
        rd_kafka_assign(handle(), nullptr);
    } else if (event == RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS) {
        const KafkaPartitionList none = empty_partition_list();
        const KafkaHandle<rd_kafka_error_t> ignored(rd_kafka_incremental_assign(handle(), none.get()));
    } else {
        const KafkaHandle<rd_kafka_error_t> ignored(rd_kafka_incremental_unassign(handle(), &partitions));
    }
}

void KafkaConsumer::recover(Partition& partition) {
    const KafkaPartitionList list = empty_partition_list();
    rd_kafka_topic_partition_list_add(list.get(), partition.topic.c_str(), partition.index);
    const KafkaStarts::Bounds bounds = starts_->bounds_of(*list).front();
    partition.next = starts_->reachable(partition, partition.next, bounds);
    partition.told_end = KafkaPartitions::kUnknown;
    if (settings_.until_end) {
        partition.end = std::min(partition.end, bounds.end);
    }
    partitions_changed_ = true;
    const KafkaPartitionList again = empty_partition_list();
    partitions_.for_each_assigned([&](const Partition& each) {
        // What other partitions have in queues comes again with a new assignment, and is dropped then.
        if (each.fetching && !each.finished() && (!is_cooperative() || &each == &partition)) {
            rd_kafka_topic_partition_list_add(again.get(), each.topic.c_str(), each.index)->offset =
                each.next;
        }
    });
    if (is_cooperative()) {
        const KafkaHandle<rd_kafka_error_t> ignored(rd_kafka_incremental_unassign(handle(), again.get()));
    }
    fetch(again.get());
}

void KafkaConsumer::refuse_part_of_topics() {
    for (const auto& [topic, count] : matching(KafkaClient::topics(settings_.starts.patience))) {
        for (std::int32_t index = 0; index < count; ++index) {
            const Partition* const partition = partitions_.find(topic.c_str(), index);
            if (partition == nullptr || !partition->fetching) {
                throw kafka_failure(
                    partition_name(topic, index) + " of " + brokers() +
                        " is another member's of the group; grouping=\"single\" needs all partitions",
                    RD_KAFKA_RESP_ERR__CONFLICT);
            }
        }
    }
}

void KafkaConsumer::check_key(const rd_kafka_message_t& message) {
    const std::string_view key(static_cast<const char*>(message.key), message.key_len);
    const KeyPartitions::Seen seen = message.key == nullptr ? KeyPartitions::Seen::kElsewhere
                                                            : key_partitions_.see(key, message.partition);
    if (seen == KeyPartitions::Seen::kNotRemembered) {
        ++counts_.unchecked_keys;
        return;
    }
    if (seen == KeyPartitions::Seen::kHere) {
        return;
    }
    ++counts_.split_keys;
    const std::string text =
        partition_name(rd_kafka_topic_name(message.rkt), message.partition) + " at offset " +
        std::to_string(message.offset) +
        (message.key == nullptr ? ": a record without a key"
                                : ": records of its key are in another partition too") +
        ", so that members of the group may each have a part of its results (grouping=\"keyed\")";
    if (settings_.grouping == KafkaGrouping::kKeyedOrFail) {
        throw kafka_failure(text, RD_KAFKA_RESP_ERR__INCONSISTENT);
    }
    if (counts_.split_keys == 1) {
        log(kLogWarning, text);
    }
}

void KafkaConsumer::revoke(const rd_kafka_topic_partition_list_t& partitions) {
    rd_kafka_resp_err_t uncommitted = RD_KAFKA_RESP_ERR_NO_ERROR;
    if (commits_before_revoked_ && !closing_) {
        uncommitted = commit_handed_out();
    }
    for (int at = 0; at < partitions.cnt; ++at) {
        if (Partition* const partition =
                partitions_.find(partitions.elems[at].topic, partitions.elems[at].partition)) {
            partition->fetching = false;
        }
    }
    if (pending_ != nullptr && !partition_of(*pending_)->fetching) {
        pending_.reset();
    }
    fetch_nothing_of(RD_KAFKA_RESP_ERR__REVOKE_PARTITIONS, partitions);
    if (uncommitted != RD_KAFKA_RESP_ERR_NO_ERROR) {
        throw kafka_failure("commit at " + brokers(), uncommitted);
    }
}

// Reading ----------------------------------------------------------------------------------------------

KafkaConsumer::Partition* KafkaConsumer::partition_of(const rd_kafka_message_t& message) {
    if (message.rkt == recent_topic_ && recent_partition_ != nullptr &&
        recent_partition_->index == message.partition) {
        return recent_partition_;
    }
    recent_topic_ = message.rkt;
    recent_partition_ = partitions_.find(rd_kafka_topic_name(message.rkt), message.partition);
    return recent_partition_;
}

void KafkaConsumer::finish(Partition& partition) {
    partition.next = std::max(partition.next, partition.end);
    partitions_changed_ = true;
    const KafkaPartitionList list = empty_partition_list();
    rd_kafka_topic_partition_list_add(list.get(), partition.topic.c_str(), partition.index);
    rd_kafka_pause_partitions(handle(), list.get());
}

KafkaConsumer::Message KafkaConsumer::next_record(milliseconds wait) {
    // Looking at the clock for each record would cost as much as taking it.
    const Clock::time_point until = wait == kNoWait ? Clock::time_point{} : Clock::now() + wait;
    while (true) {
        Message message = messages_.next(wait);
        if (message == nullptr || failure_) {
            return nullptr;
        }
        Partition* const partition = message->rkt == nullptr ? nullptr : partition_of(*message);
        if (message->err == RD_KAFKA_RESP_ERR__PARTITION_EOF && partition != nullptr) {
            partition->at_end = true;
            // Records of transactions' own have offsets too, and nobody sees them.
            partition->next = std::max(partition->next, message->offset);
            if (partition->finished()) {
                finish(*partition);
            }
        } else if (is_gone(message->err)) {
            if (partition != nullptr && partition->fetching) {
                recover(*partition);
                if (partition->finished()) {
                    finish(*partition);
                }
            }
        } else if (message->err != RD_KAFKA_RESP_ERR_NO_ERROR) {
            refuse_event(*message);
        } else if (partition != nullptr && partition->fetching) {
            if (message->offset >= partition->end) {
                finish(*partition);
            } else if (message->offset < partition->next) {
                ++counts_.repeats_dropped;
            } else {
                return message;
            }
        }
        if (partitions_.all_finished() && settings_.until_end) {
            return nullptr;
        }
        if (wait != kNoWait) {
            wait = std::max(kNoWait, std::chrono::duration_cast<milliseconds>(until - Clock::now()));
        }
    }
}

void KafkaConsumer::explain_wait() {
    if (subscribed_ && counts_.rebalances == 0 && !wait_is_explained_ &&
        polled_at_ - opened_at_ >= settings_.join_notice) {
        wait_is_explained_ = true;
        log(kLogWarning, "no partitions yet from " + brokers() +
                             ": the group waits for its other members, and for one that was killed until its "
                             "session times out");
    }
}

void KafkaConsumer::ask_for_ends_again() {
    const Clock::time_point now = Clock::now();
    const WallClock::time_point wall = WallClock::now();
    // One of the clocks stands still while the machine sleeps.
    const bool was_absent =
        now - polled_at_ >= settings_.absence || wall - polled_at_wall_ >= settings_.absence;
    polled_at_ = now;
    polled_at_wall_ = wall;
    if (!subscribed_ || (!was_absent && now - ends_asked_at_ < kEndsDelay)) {
        return;
    }
    if (was_absent) {
        absent_at_ = now;
    }
    const bool gives_up = now - absent_at_ > settings_.starts.patience;
    const KafkaPartitionList list = empty_partition_list();
    std::vector<Partition*> asked;
    partitions_.for_each_assigned([&](Partition& each) {
        each.end_is_unknown = each.fetching && (each.end_is_unknown || was_absent) && !gives_up;
        if (each.end_is_unknown) {
            rd_kafka_topic_partition_list_add(list.get(), each.topic.c_str(), each.index);
            asked.push_back(&each);
        }
    });
    if (const auto ends = starts_->ends_now(*list)) {
        for (std::size_t at = 0; at < asked.size(); ++at) {
            asked[at]->told_end = (*ends)[at];
            asked[at]->end_is_unknown = false;
        }
    }
    ends_asked_at_ = Clock::now();
}

void KafkaConsumer::refuse_event(const rd_kafka_message_t& message) {
    const std::string where =
        message.rkt == nullptr
            ? brokers()
            : partition_name(rd_kafka_topic_name(message.rkt), message.partition) + " at " + brokers();
    const KafkaFailure failure =
        kafka_failure("read " + where, message.err, rd_kafka_message_errstr(&message));
    if (!is_passing(message.err)) {
        throw failure;
    }
    log(kLogWarning, failure.what());
}

bool KafkaConsumer::next(JsonDecoder& decoder, BatchBuilder& builder, std::size_t max_records,
                         milliseconds wait) {
    const std::scoped_lock lock(mutex_);
    builder.clear();
    records_.clear();
    ask_for_ends_again();
    explain_wait();
    store_handed_out();
    if (paused_) {
        set_paused(false);
    }
    if (pending_ == nullptr) {
        pending_ = next_record(wait);
        ask_for_ends_again();
    }
    refuse_if_hopeless();
    if (failure_) {
        throw *failure_;
    }
    if (std::exchange(partitions_changed_, false)) {
        changed_before_batch_ = partitions_.live_numbers();
    }
    if (pending_ == nullptr) {
        return !settings_.until_end || !partitions_.all_finished();
    }
    Partition& partition = *partition_of(*pending_);
    partition_ = partition.number;
    const std::int64_t first = pending_->offset;
    while (pending_ != nullptr && partition_of(*pending_) == &partition && !partitions_changed_) {
        if (settings_.grouping >= KafkaGrouping::kKeyed) {
            check_key(*pending_);
        }
        partition.next = pending_->offset + 1;
        partition.at_end = false;
        records_.add(std::move(pending_), decoder, builder);
        if (partition.finished()) {
            finish(partition);
        }
        pending_ = next_record(kNoWait);
        if (builder.input_records() + records_.waiting() >= max_records) {
            break;
        }
    }
    if (records_.waiting() != 0) {
        try {
            records_.decode_waiting(decoder, builder);
        } catch (...) {
            partition.next = first;
            throw;
        }
    }
    return true;
}

std::optional<std::vector<std::uint32_t>> KafkaConsumer::take_partitions() {
    const std::scoped_lock lock(mutex_);
    return std::exchange(changed_before_batch_, std::nullopt);
}

std::vector<std::uint32_t> KafkaConsumer::partitions_behind() const {
    const std::scoped_lock lock(mutex_);
    return partitions_.behind_numbers();
}

// Keeping the membership of the group ------------------------------------------------------------------

void KafkaConsumer::keep_alive() {
    std::unique_lock lock(mutex_);
    while (!closing_) {
        closing_changed_.wait_for(lock, milliseconds(500));
        if (closing_ || (!paused_ && Clock::now() - polled_at_ < settings_.max_poll_interval / 3)) {
            continue;
        }
        if (!paused_) {
            set_paused(true);
        }
        messages_.hold(kNoWait);
    }
}

void KafkaConsumer::set_paused(bool paused) {
    paused_ = paused;
    const KafkaPartitionList list = empty_partition_list();
    partitions_.for_each_assigned([&](const Partition& each) {
        if (each.fetching && !each.finished()) {
            rd_kafka_topic_partition_list_add(list.get(), each.topic.c_str(), each.index);
        }
    });
    if (paused) {
        rd_kafka_pause_partitions(handle(), list.get());
    } else {
        rd_kafka_resume_partitions(handle(), list.get());
    }
}

// Positions --------------------------------------------------------------------------------------------

std::vector<std::string> KafkaConsumer::topics() const {
    const std::scoped_lock lock(mutex_);
    return partitions_.topics();
}

std::vector<KafkaOffset> KafkaConsumer::positions() const {
    const std::scoped_lock lock(mutex_);
    return partitions_.positions();
}

void KafkaConsumer::store_handed_out() {
    if (!settings_.auto_commit || !subscribed_) {
        return;
    }
    const KafkaPartitionList list = empty_partition_list();
    partitions_.for_each_assigned([&](const Partition& each) {
        if (each.fetching) {
            rd_kafka_topic_partition_list_add(list.get(), each.topic.c_str(), each.index)->offset = each.next;
        }
    });
    rd_kafka_offsets_store(handle(), list.get());
}

void KafkaConsumer::commit(const std::vector<KafkaOffset>& offsets) {
    const std::scoped_lock lock(mutex_);
    const KafkaPartitionList list = empty_partition_list();
    for (const KafkaOffset& offset : offsets) {
        const Partition* const partition = partitions_.find(offset.topic.c_str(), offset.partition);
        if (partition != nullptr && partition->fetching) {
            rd_kafka_topic_partition_list_add(list.get(), offset.topic.c_str(), offset.partition)->offset =
                offset.next_offset;
        }
    }
    commit(list.get());
}

void KafkaConsumer::commit(const rd_kafka_topic_partition_list_t* offsets) {
    if (offsets->cnt == 0 || handle() == nullptr) {
        return;
    }
    if (const rd_kafka_resp_err_t error = rd_kafka_commit(handle(), offsets, 1)) {
        ++counts_.commit_failures;
        log(kLogWarning, kafka_failure("commit at " + brokers(), error).what());
        return;
    }
    ++commits_under_way_;
}

void KafkaConsumer::commit_and_wait() {
    const std::scoped_lock lock(mutex_);
    commits_before_revoked_ = true;
    const Clock::time_point until = Clock::now() + settings_.starts.patience;
    while (true) {
        const rd_kafka_resp_err_t error = commit_handed_out();
        if (failure_) {
            throw *failure_;
        }
        if (error == RD_KAFKA_RESP_ERR_NO_ERROR) {
            return;
        }
        if (!(is_retriable(error) || error == RD_KAFKA_RESP_ERR_REBALANCE_IN_PROGRESS) ||
            Clock::now() >= until) {
            throw kafka_failure("commit at " + brokers(), error);
        }
        // A rebalance is served by polls.
        messages_.hold(milliseconds(50));
    }
}

rd_kafka_resp_err_t KafkaConsumer::commit_handed_out() {
    const KafkaPartitionList list = empty_partition_list();
    bool taken_away = false;
    partitions_.for_each_assigned([&](const Partition& each) {
        if (each.next != each.committed) {
            rd_kafka_topic_partition_list_add(list.get(), each.topic.c_str(), each.index)->offset = each.next;
            taken_away = taken_away || !each.fetching;
        }
    });
    if (taken_away) {
        return RD_KAFKA_RESP_ERR_ILLEGAL_GENERATION;
    }
    rd_kafka_resp_err_t error =
        list->cnt == 0 ? RD_KAFKA_RESP_ERR_NO_ERROR : rd_kafka_commit(handle(), list.get(), 0);
    for (int at = 0; at < list->cnt && error == RD_KAFKA_RESP_ERR_NO_ERROR; ++at) {
        error = list->elems[at].err;
    }
    if (error == RD_KAFKA_RESP_ERR_NO_ERROR) {
        partitions_.for_each_assigned([](Partition& each) { each.committed = each.next; });
    }
    return error;
}

void KafkaConsumer::on_commit(rd_kafka_resp_err_t error, const rd_kafka_topic_partition_list_t* partitions) {
    if (error == RD_KAFKA_RESP_ERR__NO_OFFSET) {
        return;  // nothing was new
    }
    commits_under_way_ = std::max(0, commits_under_way_ - 1);
    for (int at = 0; partitions != nullptr && at < partitions->cnt && error == RD_KAFKA_RESP_ERR_NO_ERROR;
         ++at) {
        error = partitions->elems[at].err;
    }
    if (error == RD_KAFKA_RESP_ERR_NO_ERROR) {
        ++counts_.commits;
    } else {
        // The next checkpoint commits again; until then a restart would read more than it needs to.
        ++counts_.commit_failures;
        log(kLogWarning, kafka_failure("commit at " + brokers(), error).what());
    }
}

KafkaConsumerCounts KafkaConsumer::counts() const {
    const std::scoped_lock lock(mutex_);
    KafkaConsumerCounts counts = counts_;
    static_cast<KafkaRecordCounts&>(counts) = records_.counts();
    counts.lost_offsets = starts_ ? starts_->lost_offsets() : 0;
    return counts;
}

std::vector<std::pair<KafkaOffset, std::int64_t>> KafkaConsumer::lag() const {
    const std::scoped_lock lock(mutex_);
    std::vector<std::pair<KafkaOffset, std::int64_t>> lags;
    for (KafkaOffset& at : partitions_.positions()) {
        std::int64_t first = 0;
        std::int64_t end = 0;
        if (handle() != nullptr &&
            rd_kafka_get_watermark_offsets(handle(), at.topic.c_str(), at.partition, &first, &end) ==
                RD_KAFKA_RESP_ERR_NO_ERROR &&
            end >= 0) {
            const std::int64_t lag = std::max<std::int64_t>(0, end - at.next_offset);
            lags.emplace_back(std::move(at), lag);
        }
    }
    return lags;
}

void KafkaConsumer::close() noexcept {
    {
        const std::scoped_lock lock(mutex_);
        closing_ = true;
    }
    closing_changed_.notify_all();
    if (keeper_.joinable()) {
        keeper_.join();
    }
    const std::scoped_lock lock(mutex_);
    if (handle() == nullptr) {
        return;
    }
    store_handed_out();
    pending_.reset();
    records_.clear();
    const Clock::time_point commits_until = Clock::now() + kCommitDeadline;
    while (commits_under_way_ > 0 && Clock::now() < commits_until) {
        static_cast<void>(messages_.next(milliseconds(50)));
    }
    messages_.close();
    if (subscribed_) {
        const KafkaHandle<rd_kafka_queue_t> events(rd_kafka_queue_new(handle()));
        const KafkaHandle<rd_kafka_error_t> error(rd_kafka_consumer_close_queue(handle(), events.get()));
        const Clock::time_point until = Clock::now() + kCloseDeadline;
        while (error == nullptr && rd_kafka_consumer_closed(handle()) == 0 && Clock::now() < until) {
            const Message ignored(rd_kafka_consume_queue(events.get(), 50));
        }
    }
    destroy();
}

}  // namespace llmopt_stream
