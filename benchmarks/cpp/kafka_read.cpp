// Takes the records of a topic off librdkafka, and does nothing with them: what a Kafka source cannot go
// below.
//
//     kafka_read BOOTSTRAP TOPIC PARTITIONS RECORDS
//
// Prints the CPU seconds of the process and the seconds from the first fetch.
#include <sys/resource.h>

#include <array>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>

#include "kafka/kafka_handles.hpp"

namespace {

using llmopt_stream::KafkaHandle;
using llmopt_stream::KafkaPartitionList;

double cpu_seconds() {
    rusage usage{};
    getrusage(RUSAGE_SELF, &usage);
    const auto seconds = [](const timeval& time) {
        return static_cast<double>(time.tv_sec) + 1e-6 * static_cast<double>(time.tv_usec);
    };
    return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

[[noreturn]] void fail(const std::string& why) {
    std::fprintf(stderr, "%s\n", why.c_str());
    std::exit(1);
}

rd_kafka_t* consumer_at(const char* bootstrap) {
    std::array<char, 512> why{};
    KafkaHandle<rd_kafka_conf_t> conf(rd_kafka_conf_new());
    for (const auto& [name, value] : {std::pair{"bootstrap.servers", bootstrap},
                                      {"group.id", "kafka_read"},
                                      {"enable.auto.commit", "false"}}) {
        if (rd_kafka_conf_set(conf.get(), name, value, why.data(), why.size()) != RD_KAFKA_CONF_OK) {
            fail(why.data());
        }
    }
    rd_kafka_t* const consumer = rd_kafka_new(RD_KAFKA_CONSUMER, conf.release(), why.data(), why.size());
    if (consumer == nullptr) {
        fail(why.data());
    }
    return consumer;
}

std::uint64_t read(rd_kafka_t* consumer, std::uint64_t records) {
    const KafkaHandle<rd_kafka_queue_t> queue(rd_kafka_queue_get_consumer(consumer));
    std::array<rd_kafka_message_t*, 500> messages{};
    std::uint64_t bytes = 0;
    for (std::uint64_t taken = 0; taken < records;) {
        const auto count = rd_kafka_consume_batch_queue(queue.get(), 100, messages.data(), messages.size());
        for (std::ptrdiff_t at = 0; at < count; ++at) {
            const KafkaHandle<rd_kafka_message_t> message(messages[static_cast<std::size_t>(at)]);
            if (message->err == RD_KAFKA_RESP_ERR_NO_ERROR) {
                bytes += message->len;
                ++taken;
            }
        }
    }
    return bytes;
}

}  // namespace

int main(int count, char** arguments) {
    if (count != 5) {
        fail("kafka_read BOOTSTRAP TOPIC PARTITIONS RECORDS");
    }
    rd_kafka_t* const consumer = consumer_at(arguments[1]);
    rd_kafka_poll_set_consumer(consumer);
    const KafkaPartitionList partitions = llmopt_stream::empty_partition_list();
    for (std::int32_t partition = 0; partition < std::atoi(arguments[3]); ++partition) {
        rd_kafka_topic_partition_list_add(partitions.get(), arguments[2], partition)->offset = 0;
    }
    const double cpu = cpu_seconds();
    const auto began = std::chrono::steady_clock::now();
    rd_kafka_assign(consumer, partitions.get());
    const std::uint64_t bytes = read(consumer, std::strtoull(arguments[4], nullptr, 10));
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - began;
    std::printf("{\"cpu\": %.6f, \"seconds\": %.6f, \"bytes\": %llu}\n", cpu_seconds() - cpu, seconds.count(),
                static_cast<unsigned long long>(bytes));
    std::fflush(stdout);
    std::_Exit(0);  // closing waits for nothing that is measured
}
