#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "record/time.hpp"
#include "source/seeded_random.hpp"

namespace llmopt_stream {

struct FeedbackTrafficSettings {
    /// 2026-01-01T00:00:00Z.
    Timestamp start = 1'767'225'600'000'000;
    /// The mean. A slow wave and bursts of single tenants move around it.
    double events_per_second = 1'000'000.0 / 1'800.0;
    /// A known name has its own speed, price and popularity, another takes those of a known one.
    std::vector<std::string> models = {"gpt-4o-mini", "gpt-4o",        "claude-3-haiku",
                                       "llama-3-70b", "claude-3-opus", "mistral-large"};
    std::vector<std::string> regions = {"us-east-1", "us-west-2", "eu-central-1", "ap-south-1"};
    /// Their shares follow Zipf's law.
    std::size_t tenants = 20;
};

enum class FeedbackFailure : std::uint8_t { kNone, kTimeout, kRateLimited, kContentFilter };

/// One request to a model. Decimal values are integers of their last digit, so that the
/// last bit of a library's exp() or log() does not show.
struct FeedbackRequest {
    static constexpr std::int16_t kNoQuality = -1;

    Timestamp time = 0;
    std::int64_t latency_us = 0;
    std::int64_t cost_micro_usd = 0;
    std::uint32_t prompt_tokens = 0;
    std::uint32_t completion_tokens = 0;
    std::uint16_t model = 0;
    std::uint16_t region = 0;
    std::uint16_t tenant = 0;
    std::int16_t quality_thousandths = kNoQuality;
    FeedbackFailure failure = FeedbackFailure::kNone;
};

/// Requests to LLMs in the order of their times, without end: a Poisson process whose rate
/// follows a wave of ten minutes; now and then one tenant adds its load for some seconds,
/// and latencies rise with it.
class FeedbackTraffic {
public:
    FeedbackTraffic(const FeedbackTrafficSettings& settings, std::uint64_t seed);

    [[nodiscard]] FeedbackRequest next();

private:
    struct Model {
        double first_token_ms;
        double ms_per_token;
        double prompt_usd_per_million;
        double completion_usd_per_million;
        double quality;
    };
    struct Burst {
        double begin;
        double end;
        double added_rate;  // in multiples of the base rate
        std::uint16_t tenant;
    };

    void plan_burst(double after);

    Timestamp start_;
    double base_rate_;
    std::vector<Model> models_;
    std::vector<double> network_ms_;
    WeightedChoice model_choice_;
    WeightedChoice region_choice_;
    WeightedChoice tenant_choice_;
    SeededRandom random_;

    std::int64_t elapsed_ns_ = 0;
    Burst burst_{};
};

}  // namespace llmopt_stream
