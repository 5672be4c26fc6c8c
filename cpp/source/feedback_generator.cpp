#include "source/feedback_generator.hpp"

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <memory>
#include <string_view>
#include <utility>

#include "record/error.hpp"

namespace llmopt_stream {

namespace {

/// Everything of a line but the names of model and region, with room to spare.
constexpr std::size_t kLongestLineWithoutNames = 512;
/// Seeds the delays and defects, so that they can change without changing the traffic.
constexpr std::uint64_t kDeliverySeed = 0xfeedbac4;

FeedbackGeneratorSettings checked(FeedbackGeneratorSettings settings) {
    const auto refuse = [](const std::string& message) { throw Error(ErrorKind::kConfiguration, message); };
    constexpr double kHundredYears = 100.0 * 365.0 * 86'400.0;
    const double seconds = static_cast<double>(settings.events) / settings.traffic.events_per_second;
    if (seconds > kHundredYears) {
        refuse("events must span at most 100 years, got " + std::to_string(settings.events) + " events at " +
               std::to_string(settings.traffic.events_per_second) + " events_per_second");
    }
    if (settings.max_disorder < 0 || settings.max_disorder > 3'600'000'000) {
        refuse("max_disorder must be 0 to 1 hour, got " + std::to_string(settings.max_disorder) +
               " microseconds");
    }
    if (!(settings.late_share >= 0.0 && settings.late_share <= 1.0)) {
        refuse("late_share must be 0 to 1, got " + std::to_string(settings.late_share));
    }
    if (!(settings.malformed_share >= 0.0 && settings.malformed_share <= 1.0)) {
        refuse("malformed_share must be 0 to 1, got " + std::to_string(settings.malformed_share));
    }
    return settings;
}

std::size_t longest_name(const std::vector<std::string>& names) {
    std::size_t longest = 0;
    for (const std::string& name : names) {
        longest = std::max(longest, name.size());
    }
    return longest;
}

/// Writes text and numbers one after the other; the caller provides the room.
class LineWriter {
public:
    explicit LineWriter(char* out) noexcept : begin_(out), end_(out) {}

    LineWriter& operator<<(std::string_view text) noexcept {
        std::memcpy(end_, text.data(), text.size());
        end_ += text.size();
        return *this;
    }
    LineWriter& digits(std::uint64_t value, int width) noexcept {
        for (int i = width; i-- > 0; value /= 10) {
            end_[i] = static_cast<char>('0' + value % 10);
        }
        end_ += width;
        return *this;
    }
    template <typename Number>
    LineWriter& number(Number value) noexcept {
        end_ = std::to_chars(end_, end_ + 32, value).ptr;
        return *this;
    }
    [[nodiscard]] std::size_t size() const noexcept { return static_cast<std::size_t>(end_ - begin_); }

private:
    char* begin_;
    char* end_;
};

void write_time(LineWriter& line, Timestamp time) noexcept {
    using namespace std::chrono;
    constexpr Timestamp kDay = 86'400'000'000;
    const year_month_day date{sys_days{days{time / kDay}}};
    const auto in_day = static_cast<std::uint64_t>(time % kDay);
    line.digits(static_cast<std::uint64_t>(static_cast<int>(date.year())), 4) << "-";
    line.digits(static_cast<unsigned>(date.month()), 2) << "-";
    line.digits(static_cast<unsigned>(date.day()), 2) << "T";
    line.digits(in_day / 3'600'000'000, 2) << ":";
    line.digits(in_day / 60'000'000 % 60, 2) << ":";
    line.digits(in_day / 1'000'000 % 60, 2) << ".";
    line.digits(in_day % 1'000'000, 6) << "Z";
}

std::string_view failure_json(FeedbackFailure failure) noexcept {
    switch (failure) {
        case FeedbackFailure::kTimeout: return "\"timeout\"";
        case FeedbackFailure::kRateLimited: return "\"rate_limited\"";
        case FeedbackFailure::kContentFilter: return "\"content_filter\"";
        case FeedbackFailure::kNone: break;
    }
    return "null";
}

}  // namespace

FeedbackGenerator::FeedbackGenerator(FeedbackGeneratorSettings settings)
    : settings_(checked(std::move(settings))),
      traffic_(settings_.traffic, settings_.seed),
      random_(settings_.seed ^ kDeliverySeed),
      longest_line_(kLongestLineWithoutNames + longest_name(settings_.traffic.models) +
                    longest_name(settings_.traffic.regions)),
      line_(longest_line_, '\0') {
    next_ = traffic_.next();
}

Duration FeedbackGenerator::draw_delay(Fate fate) noexcept {
    if (fate == Fate::kLate) {
        return settings_.max_disorder + static_cast<Duration>(random_.uniform(1e6, 115e6));
    }
    if (settings_.max_disorder == 0) {
        return 0;
    }
    // Most arrive within a tenth of the bound; the fraction keeps the long tail below it.
    const auto bound = static_cast<double>(settings_.max_disorder);
    const double delay = random_.lognormal(bound / 25.0, 1.2);
    return std::min(static_cast<Duration>(delay * bound / (delay + bound)), settings_.max_disorder - 1);
}

void FeedbackGenerator::send_next_request() {
    Pending pending{next_, ++sent_, Fate::kOrdinary, FeedbackDefect::kTruncated, 0.0F};
    if (random_.chance(settings_.malformed_share)) {
        pending.fate = Fate::kMalformed;
        pending.defect = static_cast<FeedbackDefect>(defects_sent_++ % kFeedbackDefects);
        pending.cut = static_cast<float>(random_.uniform());
    } else if (random_.chance(settings_.late_share)) {
        pending.fate = Fate::kLate;
    }
    if (free_slots_.empty()) {
        free_slots_.push_back(static_cast<std::uint32_t>(pending_.size()));
        pending_.emplace_back();
    }
    const std::uint32_t slot = free_slots_.back();
    free_slots_.pop_back();
    pending_[slot] = pending;
    arrivals_.push_back({next_.time + draw_delay(pending.fate), pending.number, slot});
    std::push_heap(arrivals_.begin(), arrivals_.end());
    next_ = traffic_.next();
}

std::size_t FeedbackGenerator::generate(std::string& out, std::size_t max_bytes) {
    const std::size_t size_before = out.size();
    std::size_t records = 0;
    while (true) {
        // Nothing sent later can arrive before its own time.
        while (sent_ < settings_.events && (arrivals_.empty() || next_.time <= arrivals_.front().time)) {
            send_next_request();
        }
        if (arrivals_.empty()) {
            return records;
        }
        const Arrival& first = arrivals_.front();
        const Pending& pending = pending_[first.slot];
        const std::size_t bytes = write_line(line_.data(), pending);
        if (records > 0 && out.size() - size_before + bytes > max_bytes) {
            return records;
        }
        out.append(line_.data(), bytes);
        count(pending, bytes);
        ++records;
        free_slots_.push_back(first.slot);
        std::pop_heap(arrivals_.begin(), arrivals_.end());
        arrivals_.pop_back();
    }
}

void FeedbackGenerator::count(const Pending& pending, std::size_t bytes) noexcept {
    ++counts_.records;
    counts_.bytes += bytes;
    if (pending.fate == Fate::kMalformed) {
        ++counts_.malformed[static_cast<std::size_t>(pending.defect)];
    }
    counts_.late += pending.fate == Fate::kLate ? 1 : 0;
}

std::size_t FeedbackGenerator::write_line(char* out, const Pending& pending) const noexcept {
    const FeedbackRequest& request = pending.request;
    const auto broken = [&pending](FeedbackDefect defect) {
        return pending.fate == Fate::kMalformed && pending.defect == defect;
    };
    LineWriter line(out);
    const int id_width = pending.number < 1'000'000'000 ? 9 : 20;
    if (broken(FeedbackDefect::kNotAnObject)) {
        line << "[\"evt-";
        line.digits(pending.number, id_width) << "\"]\n";
        return line.size();
    }
    line << "{\"id\":\"evt-";
    line.digits(pending.number, id_width) << "\",";
    if (broken(FeedbackDefect::kTimeInvalid)) {
        line << "\"timestamp\":\"yesterday at noon\",";
    } else if (!broken(FeedbackDefect::kTimeMissing)) {
        line << "\"timestamp\":\"";
        write_time(line, request.time);
        line << "\",";
    }
    line << "\"source\":\"gateway\",\"event_type\":\"completion\",\"data\":{\"model\":\""
         << settings_.traffic.models[request.model] << "\",\"latency_ms\":";
    if (broken(FeedbackDefect::kNanLiteral)) {
        line << "NaN";
    } else {
        line.number(static_cast<double>(request.latency_us) / 1e3);
    }
    line << ",\"prompt_tokens\":";
    line.number(request.prompt_tokens) << ",\"completion_tokens\":";
    line.number(request.completion_tokens) << ",\"cost_usd\":";
    line.number(static_cast<double>(request.cost_micro_usd) / 1e6) << ",\"quality\":";
    if (request.quality_thousandths == FeedbackRequest::kNoQuality) {
        line << "null";
    } else {
        line.number(static_cast<double>(request.quality_thousandths) / 1e3);
    }
    line << ",\"error\":" << failure_json(request.failure) << "},\"metadata\":{\"tenant\":\"tenant-";
    line.digits(request.tenant + 1U, request.tenant < 99 ? 2 : 5)
        << (broken(FeedbackDefect::kBadUtf8) ? "\xff" : "") << "\",\"region\":\""
        << settings_.traffic.regions[request.region] << "\"}}";
    if (broken(FeedbackDefect::kTruncated)) {
        const auto most = static_cast<float>(line.size() - 1);
        const auto length =
            std::clamp<std::size_t>(static_cast<std::size_t>(pending.cut * most), 1, line.size() - 1);
        out[length] = '\n';
        return length + 1;
    }
    line << "\n";
    return line.size();
}

void FeedbackGenerator::write_file(const std::string& path,
                                   const std::function<void(std::uint64_t)>& progress) {
    constexpr std::size_t kChunk = 4U << 20U;
    const auto fail = [&path] {
        throw Error(ErrorKind::kPipeline, "cannot write " + path + ": " + std::strerror(errno));
    };
    struct Close {
        void operator()(std::FILE* file) const noexcept { std::fclose(file); }
    };
    std::unique_ptr<std::FILE, Close> file(std::fopen(path.c_str(), "wb"));
    if (!file) {
        fail();
    }
    std::setvbuf(file.get(), nullptr, _IONBF, 0);
    std::string chunk;
    chunk.reserve(kChunk);
    while (generate(chunk, kChunk) > 0) {
        if (std::fwrite(chunk.data(), 1, chunk.size(), file.get()) != chunk.size()) {
            fail();
        }
        chunk.clear();
        if (progress) {
            progress(counts_.records);
        }
    }
    // Some file systems report a full disk only here.
    if (std::fclose(file.release()) != 0) {
        fail();
    }
}

}  // namespace llmopt_stream
