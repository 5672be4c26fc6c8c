#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "record/time.hpp"
#include "window/pane.hpp"

namespace llmopt_stream {

/// A trigger that a user wrote. It may throw.
class UserTrigger {
public:
    virtual ~UserTrigger() = default;
    [[nodiscard]] virtual bool should_fire(const Interval& window, Timestamp watermark,
                                           std::uint64_t waiting) = 0;
    [[nodiscard]] virtual bool should_purge(const Interval& window, Timestamp watermark) = 0;
};

enum class TriggerKind : std::uint8_t {
    kEventTime,       ///< complete, and every late record
    kProcessingTime,  ///< `delay` on the clock after the first waiting record
    kCount,           ///< `count` waiting records
    kAfterWatermark,  ///< complete; before that `early`, after that `late` or else every record
    kAnyOf,
    kAllOf,
    kUser,
};

/// When a pane of one key's window fires: a condition on the watermark, the clock and the
/// records that wait, those since the last firing. Any firing starts the waiting anew, for
/// all parts of a trigger (Akidau et al., VLDB 2015; Beam's composite triggers).
struct Trigger {
    TriggerKind kind = TriggerKind::kEventTime;
    std::uint64_t count = 0;
    Duration delay = 0;
    /// Of kAnyOf and kAllOf.
    std::vector<Trigger> parts = {};
    /// Of kAfterWatermark: none or one each.
    std::vector<Trigger> early = {};
    std::vector<Trigger> late = {};
    std::shared_ptr<UserTrigger> user = nullptr;

    /// Whether it fires when complete and at every late record, no more.
    [[nodiscard]] bool is_default() const noexcept;
    /// Whether a part is a user's.
    [[nodiscard]] bool asks_user() const noexcept;
    /// The delays of its parts, shortest first.
    [[nodiscard]] std::vector<Duration> delays() const;
    /// Whether every user's part lets the window's state go.
    [[nodiscard]] bool should_purge(const Interval& window, Timestamp watermark) const;
};

/// What a trigger looks at.
struct TriggerView {
    Interval window;
    Timestamp watermark;
    Timestamp clock;
    std::uint64_t waiting;
    /// When the first waiting record came, on the clock.
    Timestamp first_clock;
    /// Whether a firing has seen the watermark at the window's end.
    bool complete;
    /// Nothing that a user's trigger looks at has changed where this is false.
    bool ask_user;
};

[[nodiscard]] bool is_ready(const Trigger& trigger, const TriggerView& view);

}  // namespace llmopt_stream
