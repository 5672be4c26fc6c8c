#include "window/slice_tree.hpp"

#include <algorithm>
#include <bit>

namespace llmopt_stream {

SliceTree::SliceTree(SliceContext& context, const SliceSequence& slices, std::int64_t slices_per_window)
    : context_(&context),
      slices_(&slices),
      levels_(static_cast<std::size_t>(
          std::max<int>(std::bit_width(static_cast<std::uint64_t>(slices_per_window)) - kLowest, 0))) {}

std::vector<SliceTree::Place> SliceTree::places_of(SliceRange range) const {
    const int highest = kLowest + static_cast<int>(levels_.size()) - 1;
    const auto fits = [&](SliceNumber first, int level) {
        const SliceNumber size = SliceNumber{1} << level;
        return (first & (size - 1)) == 0 && first + size <= range.end;
    };
    std::vector<Place> places;
    while (range.first < range.end) {
        int level = highest;
        while (level >= kLowest && !fits(range.first, level)) {
            --level;
        }
        if (level < kLowest) {
            level = 0;
        }
        places.push_back({level, range.first >> level});
        range.first += SliceNumber{1} << level;
    }
    std::stable_sort(places.begin(), places.end(),
                     [](const Place& a, const Place& b) { return a.level > b.level; });
    return places;
}

SliceTree::Node* SliceTree::find(Place place) noexcept {
    if (place.level < kLowest) {
        return nullptr;
    }
    auto& nodes = levels_[static_cast<std::size_t>(place.level - kLowest)];
    const auto at = nodes.find(place.index);
    return at == nodes.end() ? nullptr : &at->second;
}

bool SliceTree::narrow(Place& place) const noexcept {
    const auto first = slices_->from(place.index << place.level);
    if (first == slices_->end() || first->number >> place.level != place.index) {
        return false;
    }
    const SliceNumber last = std::prev(slices_->from((place.index + 1) << place.level))->number;
    while (place.level > 0) {
        const int below = place.level == kLowest ? 0 : place.level - 1;
        if (first->number >> below != last >> below) {
            break;
        }
        place = {below, first->number >> below};
    }
    return true;
}

template <typename Use>
void SliceTree::for_each_child(Place place, Use use) const {
    const int below = place.level == kLowest ? 0 : place.level - 1;
    const SliceNumber end = (place.index + 1) << (place.level - below);
    for (SliceNumber index = place.index << (place.level - below); index < end; ++index) {
        use(Place{below, index});
    }
}

SliceTree::Node& SliceTree::make(Place place) {
    Node& node = levels_[static_cast<std::size_t>(place.level - kLowest)]
                     .try_emplace(place.index, *context_)
                     .first->second;
    for_each_child(place, [&](Place child) { merge_place(child, node.rows); });
    node.stale.resize(node.rows.size());
    return node;
}

void SliceTree::refresh(Place place, Node& node, std::uint32_t slot) {
    const KeyInterner::Code code = node.rows.codes()[slot];
    node.rows.reset(slot);
    for_each_child(place, [&](Place child) {
        if (const std::byte* const row = row_at(child, code)) {
            node.rows.merge(slot, row);
        }
    });
    node.stale[slot] = false;
    --node.stale_rows;
}

void SliceTree::merge_place(Place place, MergedRows& into) {
    Node* node = find(place);
    if (node == nullptr) {
        if (!narrow(place)) {
            return;
        }
        if (place.level == 0) {
            into.merge(*slices_->from(place.index)->slice);
            return;
        }
        node = find(place);
    }
    if (node == nullptr) {
        node = &make(place);
    }
    for (std::uint32_t slot = 0; node->stale_rows != 0 && slot < node->rows.size(); ++slot) {
        if (node->stale[slot]) {
            refresh(place, *node, slot);
        }
    }
    into.merge(node->rows);
}

const std::byte* SliceTree::row_at(Place place, KeyInterner::Code code) {
    Node* node = find(place);
    if (node == nullptr) {
        if (!narrow(place)) {
            return nullptr;
        }
        if (place.level == 0) {
            return slices_->from(place.index)->slice->find(code);
        }
        node = find(place);
    }
    if (node == nullptr) {
        node = &make(place);
    }
    const std::uint32_t slot = node->rows.index().find(code);
    if (slot == SlotIndex::kNone) {
        return nullptr;
    }
    if (node->stale[slot]) {
        refresh(place, *node, slot);
    }
    return node->rows.row(slot);
}

void SliceTree::merge(SliceRange window, MergedRows& into) {
    for (const Place place : places_of(window)) {
        merge_place(place, into);
    }
}

void SliceTree::merge(SliceRange window, KeyInterner::Code code, MergedRows& into, std::uint32_t slot) {
    for (const Place place : places_of(window)) {
        if (const std::byte* const row = row_at(place, code)) {
            into.merge(slot, row);
        }
    }
}

void SliceTree::invalidate(SliceNumber slice, KeyInterner::Code code) {
    int level = kLowest;
    for (auto& nodes : levels_) {
        const auto at = nodes.find(slice >> level++);
        if (at == nodes.end()) {
            continue;  // there may be one above, made while all below lay within one child
        }
        Node& node = at->second;
        const std::uint32_t slot = node.rows.find_or_create(code);
        node.stale.resize(node.rows.size());
        if (node.stale[slot]) {
            return;
        }
        node.stale[slot] = true;
        ++node.stale_rows;
    }
}

void SliceTree::release_before(SliceNumber slice) noexcept {
    int level = kLowest;
    for (auto& nodes : levels_) {
        while (!nodes.empty() && nodes.begin()->first << level < slice) {
            nodes.erase(nodes.begin());
        }
        ++level;
    }
}

}  // namespace llmopt_stream
