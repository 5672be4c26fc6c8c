#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "record/time.hpp"
#include "source/feedback_traffic.hpp"

namespace llmopt_stream {

/// What FeedbackGenerator breaks in a malformed record; the kinds take turns.
enum class FeedbackDefect : std::uint8_t {
    kTruncated,    ///< the line ends somewhere inside the object
    kNotAnObject,  ///< a JSON array
    kTimeMissing,  ///< no `timestamp`
    kTimeInvalid,  ///< a `timestamp` that is no time
    kBadUtf8,      ///< a byte that UTF-8 never contains
    kNanLiteral,   ///< `NaN` where JSON wants a number
};
inline constexpr std::size_t kFeedbackDefects = static_cast<std::size_t>(FeedbackDefect::kNanLiteral) + 1;

struct FeedbackGeneratorSettings {
    std::uint64_t seed = 42;
    std::uint64_t events = 1'000'000;
    FeedbackTrafficSettings traffic;
    /// An event arrives less than this after its time, unless it is late.
    Duration max_disorder = 5'000'000;
    /// The share of events that arrive 1 to 115 s later than `max_disorder` allows.
    double late_share = 0.002;
    /// The share of records that carry a FeedbackDefect; these are never late as well.
    double malformed_share = 0.001;
};

/// What a generator has written so far.
struct FeedbackCounts {
    /// Every record, malformed ones included.
    std::uint64_t records = 0;
    /// Delayed beyond `max_disorder`. How many of them a pipeline drops depends on its
    /// windows: one that is still open takes them.
    std::uint64_t late = 0;
    std::array<std::uint64_t, kFeedbackDefects> malformed{};
    std::uint64_t bytes = 0;
};

/// Synthetic FeedbackEvents as NDJSON in the order of arrival. The settings determine
/// every byte. Memory is bounded by the events under way at one time: about
/// events_per_second * (max_disorder / 10 + 60 s * late_share) of them, 90 bytes each.
class FeedbackGenerator {
public:
    /// Throws Error(kConfiguration), naming the setting.
    explicit FeedbackGenerator(FeedbackGeneratorSettings settings);

    /// Appends whole lines, at most `max_bytes` of them but at least one line, and says
    /// how many; 0 at the end.
    std::size_t generate(std::string& out, std::size_t max_bytes);

    /// Writes all that remains to the file, which is replaced. `progress` hears how many
    /// records are written, every few MiB; what it throws ends the writing.
    /// Throws Error(kPipeline) with the path and the system's reason.
    void write_file(const std::string& path, const std::function<void(std::uint64_t)>& progress = {});

    [[nodiscard]] const FeedbackCounts& counts() const noexcept { return counts_; }
    [[nodiscard]] const FeedbackGeneratorSettings& settings() const noexcept { return settings_; }

private:
    enum class Fate : std::uint8_t { kOrdinary, kLate, kMalformed };

    struct Pending {
        FeedbackRequest request;
        std::uint64_t number;
        Fate fate;
        FeedbackDefect defect;
        /// Where a truncated line ends, as a share of its length.
        float cut;
    };
    struct Arrival {
        Timestamp time;
        std::uint64_t number;
        std::uint32_t slot;
        /// For a heap with the earliest arrival on top.
        bool operator<(const Arrival& other) const noexcept {
            return time != other.time ? time > other.time : number > other.number;
        }
    };

    void send_next_request();
    [[nodiscard]] Duration draw_delay(Fate fate) noexcept;
    [[nodiscard]] std::size_t write_line(char* out, const Pending& pending) const noexcept;
    void count(const Pending& pending, std::size_t bytes) noexcept;

    FeedbackGeneratorSettings settings_;
    FeedbackTraffic traffic_;
    SeededRandom random_;
    std::size_t longest_line_;

    std::uint64_t sent_ = 0;
    FeedbackRequest next_{};
    std::uint64_t defects_sent_ = 0;
    std::vector<Pending> pending_;
    std::vector<std::uint32_t> free_slots_;
    std::vector<Arrival> arrivals_;  // a heap
    std::string line_;
    FeedbackCounts counts_;
};

}  // namespace llmopt_stream
