#include "source/feedback_traffic.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <numbers>
#include <string_view>

#include <simdjson.h>

#include "record/error.hpp"

namespace llmopt_stream {

namespace {

struct ModelProfile {
    std::string_view name;
    double popularity;
    double first_token_ms;
    double ms_per_token;
    double prompt_usd_per_million;
    double completion_usd_per_million;
    double quality;
};

// Orders of magnitude of public prices and speeds; no claim about any model.
constexpr std::array kModelProfiles{
    ModelProfile{"gpt-4o-mini", 0.28, 280.0, 8.0, 0.15, 0.60, 0.78},
    ModelProfile{"gpt-4o", 0.24, 350.0, 11.0, 2.50, 10.00, 0.88},
    ModelProfile{"claude-3-haiku", 0.20, 250.0, 7.0, 0.25, 1.25, 0.80},
    ModelProfile{"llama-3-70b", 0.12, 300.0, 14.0, 0.59, 0.79, 0.81},
    ModelProfile{"claude-3-opus", 0.08, 900.0, 30.0, 15.00, 75.00, 0.91},
    ModelProfile{"mistral-large", 0.08, 450.0, 18.0, 2.00, 6.00, 0.83},
};

struct RegionProfile {
    std::string_view name;
    double popularity;
    double network_ms;
};

constexpr std::array kRegionProfiles{
    RegionProfile{"us-east-1", 0.40, 12.0},
    RegionProfile{"us-west-2", 0.25, 30.0},
    RegionProfile{"eu-central-1", 0.22, 55.0},
    RegionProfile{"ap-south-1", 0.13, 120.0},
};

/// The profile of that name, or for an unknown name the one whose turn it is.
template <typename Profiles>
const auto& profile_of(const Profiles& profiles, std::string_view name, std::size_t index) {
    for (const auto& profile : profiles) {
        if (profile.name == name) {
            return profile;
        }
    }
    return profiles[index % profiles.size()];
}

template <typename Profiles>
std::vector<double> popularities(const Profiles& profiles, const std::vector<std::string>& names) {
    std::vector<double> weights;
    for (std::size_t i = 0; i < names.size(); ++i) {
        weights.push_back(profile_of(profiles, names[i], i).popularity);
    }
    return weights;
}

std::vector<double> zipf_weights(std::size_t count) {
    std::vector<double> weights;
    for (std::size_t rank = 1; rank <= count; ++rank) {
        weights.push_back(1.0 / static_cast<double>(rank));
    }
    return weights;
}

[[noreturn]] void refuse(const std::string& message) { throw Error(ErrorKind::kConfiguration, message); }

/// Names stand in the events as they are, so they must not need JSON escapes.
void check_names(const std::vector<std::string>& names, const std::string& setting) {
    if (names.empty() || names.size() > std::numeric_limits<std::uint16_t>::max()) {
        refuse(setting + " must be 1 to 65535 names, got " + std::to_string(names.size()));
    }
    for (const std::string& name : names) {
        const bool plain = std::ranges::none_of(
            name, [](char c) { return c == '"' || c == '\\' || static_cast<unsigned char>(c) < 0x20; });
        if (name.empty() || name.size() > 200 || !plain || !simdjson::validate_utf8(name)) {
            refuse(setting + " must be UTF-8 of 1 to 200 bytes without quotes, backslashes and control " +
                   "characters, got \"" + name + "\"");
        }
    }
}

const FeedbackTrafficSettings& checked(const FeedbackTrafficSettings& settings) {
    constexpr Timestamp kYear9000 = 221'845'392'000'000'000;
    if (settings.start < 0 || settings.start >= kYear9000) {
        refuse("start must lie in the years 1970 to 8999, got " + std::to_string(settings.start) +
               " microseconds since 1970");
    }
    if (!(settings.events_per_second >= 0.001 && settings.events_per_second <= 1e6)) {
        refuse("events_per_second must be 0.001 to 1000000, got " +
               std::to_string(settings.events_per_second));
    }
    check_names(settings.models, "models");
    check_names(settings.regions, "regions");
    if (settings.tenants < 1 || settings.tenants > 10'000) {
        refuse("tenants must be 1 to 10000, got " + std::to_string(settings.tenants));
    }
    return settings;
}

constexpr double kMeanQuietSeconds = 90.0;
constexpr double kShortestBurstSeconds = 5.0;
constexpr double kLongestBurstSeconds = 20.0;
constexpr double kWeakestBurst = 1.0;
constexpr double kStrongestBurst = 3.0;
constexpr double kWavePeriodSeconds = 600.0;
constexpr double kWaveHeight = 0.3;

/// What the bursts add to the mean rate, in multiples of the base rate.
constexpr double kMeanBurstLoad = (kWeakestBurst + kStrongestBurst) / 2.0 *
                                  (kShortestBurstSeconds + kLongestBurstSeconds) / 2.0 /
                                  (kMeanQuietSeconds + (kShortestBurstSeconds + kLongestBurstSeconds) / 2.0);

std::uint32_t draw_tokens(SeededRandom& random, double median, double sigma, double most) {
    return static_cast<std::uint32_t>(std::clamp(std::round(random.lognormal(median, sigma)), 1.0, most));
}

FeedbackFailure draw_failure(SeededRandom& random) {
    const double chance = random.uniform();
    if (chance >= 0.010) {
        return FeedbackFailure::kNone;
    }
    if (chance < 0.003) {
        return FeedbackFailure::kTimeout;
    }
    return chance < 0.007 ? FeedbackFailure::kRateLimited : FeedbackFailure::kContentFilter;
}

}  // namespace

FeedbackTraffic::FeedbackTraffic(const FeedbackTrafficSettings& settings, std::uint64_t seed)
    : start_(checked(settings).start),
      base_rate_(settings.events_per_second / (1.0 + kMeanBurstLoad)),
      model_choice_(popularities(kModelProfiles, settings.models)),
      region_choice_(popularities(kRegionProfiles, settings.regions)),
      tenant_choice_(zipf_weights(settings.tenants)),
      random_(seed) {
    for (std::size_t i = 0; i < settings.models.size(); ++i) {
        const ModelProfile& profile = profile_of(kModelProfiles, settings.models[i], i);
        models_.push_back({profile.first_token_ms, profile.ms_per_token, profile.prompt_usd_per_million,
                           profile.completion_usd_per_million, profile.quality});
    }
    for (std::size_t i = 0; i < settings.regions.size(); ++i) {
        network_ms_.push_back(profile_of(kRegionProfiles, settings.regions[i], i).network_ms);
    }
    plan_burst(0.0);
}

void FeedbackTraffic::plan_burst(double after) {
    burst_.begin = after + kMeanQuietSeconds * random_.exponential();
    burst_.end = burst_.begin + random_.uniform(kShortestBurstSeconds, kLongestBurstSeconds);
    burst_.added_rate = random_.uniform(kWeakestBurst, kStrongestBurst);
    burst_.tenant = static_cast<std::uint16_t>(tenant_choice_.draw(random_));
}

FeedbackRequest FeedbackTraffic::next() {
    const double now = static_cast<double>(elapsed_ns_) * 1e-9;
    while (now >= burst_.end) {
        plan_burst(burst_.end);
    }
    const double wave = 1.0 + kWaveHeight * std::sin(2.0 * std::numbers::pi * now / kWavePeriodSeconds);
    const double burst = now >= burst_.begin ? burst_.added_rate : 0.0;
    const double load = wave + burst;
    elapsed_ns_ += std::llround(random_.exponential() / (base_rate_ * load) * 1e9);

    FeedbackRequest request;
    request.time = start_ + elapsed_ns_ / 1'000;
    request.tenant = random_.chance(burst / load) ? burst_.tenant
                                                  : static_cast<std::uint16_t>(tenant_choice_.draw(random_));
    request.model = static_cast<std::uint16_t>(model_choice_.draw(random_));
    request.region = static_cast<std::uint16_t>(region_choice_.draw(random_));
    request.failure = draw_failure(random_);
    request.prompt_tokens = draw_tokens(random_, 600.0, 0.9, 128'000.0);
    request.completion_tokens = draw_tokens(random_, 180.0, 0.8, 8'192.0);

    const Model& model = models_[request.model];
    double milliseconds = (model.first_token_ms + 0.02 * request.prompt_tokens +
                           model.ms_per_token * request.completion_tokens) *
                          (0.8 + 0.2 * load);
    bool prompt_is_paid = true;
    switch (request.failure) {
        case FeedbackFailure::kNone:
            if (random_.chance(0.1)) {
                const double quality = std::clamp(model.quality + 0.12 * random_.normal(), 0.0, 1.0);
                request.quality_thousandths = static_cast<std::int16_t>(std::lround(quality * 1'000.0));
            }
            break;
        case FeedbackFailure::kTimeout:
            milliseconds = 60'000.0;
            request.completion_tokens = 0;
            prompt_is_paid = false;
            break;
        case FeedbackFailure::kRateLimited:
            milliseconds = 25.0;
            request.completion_tokens = 0;
            prompt_is_paid = false;
            break;
        case FeedbackFailure::kContentFilter:
            milliseconds = model.first_token_ms;
            request.completion_tokens = 0;
            break;
    }
    // A timeout is the client's clock, everything else scatters.
    const double scatter = request.failure == FeedbackFailure::kTimeout ? 0.001 : 0.25;
    milliseconds = random_.lognormal(milliseconds, scatter) + network_ms_[request.region];
    request.latency_us = std::llround(milliseconds * 1'000.0);
    // USD per million tokens is millionths of a USD per token.
    const double cost = (prompt_is_paid ? model.prompt_usd_per_million * request.prompt_tokens : 0.0) +
                        model.completion_usd_per_million * request.completion_tokens;
    request.cost_micro_usd = std::llround(cost);
    return request;
}

}  // namespace llmopt_stream
