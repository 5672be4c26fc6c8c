#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>

#include "state/state_backend.hpp"

namespace llmopt_stream {

/// What a checkpoint stores of an operator, as far as it has been encoded: at the barrier what is
/// small, then slices, while records go on. A row is encoded as it was at the barrier; whoever is about
/// to change one that was not encoded yet has it encoded first (copy on write).
class StateCapture {
public:
    /// `id` grows from checkpoint to checkpoint, from 1 on.
    explicit StateCapture(std::uint64_t id) : id_(id) {}

    [[nodiscard]] std::uint64_t id() const noexcept { return id_; }
    void put(std::string name, std::string value) { changes_.put(std::move(name), std::move(value)); }
    void erase(std::string name) { changes_.del(std::move(name)); }
    [[nodiscard]] StateChanges take() noexcept { return std::exchange(changes_, StateChanges()); }

private:
    std::uint64_t id_;
    StateChanges changes_;
};

}  // namespace llmopt_stream
