#include "source/json_fields.hpp"

#include <algorithm>

namespace llmopt_stream {

JsonFields::JsonFields(const Schema& schema) : levels_(1) {
    add(schema.time_path, {JsonTarget::Role::kTime, 0});
    for (std::size_t i = 0; i < schema.key_paths.size(); ++i) {
        add(schema.key_paths[i], {JsonTarget::Role::kKey, i});
    }
    for (std::size_t i = 0; i < schema.values.size(); ++i) {
        add(schema.values[i].path, {JsonTarget::Role::kValue, i});
    }
    for (std::size_t i = 0; i < schema.labels.size(); ++i) {
        add(schema.labels[i], {JsonTarget::Role::kLabel, i});
    }
}

JsonFields::Field& JsonFields::field(std::uint32_t level, std::string_view name) {
    std::vector<Field>& fields = levels_[level].fields;
    const auto found =
        std::find_if(fields.begin(), fields.end(), [&](const Field& f) { return f.name == name; });
    if (found != fields.end()) {
        return *found;
    }
    Field& added = fields.emplace_back();
    added.name = name;
    std::memcpy(&added.prefix, name.data(), std::min(name.size(), kPrefixBytes));
    levels_[level].filter |= std::uint64_t{1} << filter_bit(added.prefix, name.size());
    return added;
}

std::uint32_t JsonFields::level_behind(std::string_view prefix) {
    const auto [found, is_new] =
        level_behind_.try_emplace(std::string(prefix), static_cast<std::uint32_t>(levels_.size()));
    if (is_new) {
        levels_.emplace_back();
    }
    return found->second;
}

void JsonFields::add(std::string_view path, JsonTarget target) {
    std::uint32_t level = 0;
    for (std::size_t begin = 0;;) {
        field(level, path.substr(begin)).targets.push_back(target);
        const std::size_t first_dot = path.find('.', begin);
        for (std::size_t dot = first_dot; dot != std::string_view::npos; dot = path.find('.', dot + 1)) {
            const std::uint32_t inner = level_behind(path.substr(0, dot));
            field(level, path.substr(begin, dot - begin)).level = inner;
        }
        if (first_dot == std::string_view::npos) {
            return;
        }
        level = level_behind(path.substr(0, first_dot));
        begin = first_dot + 1;
    }
}

}  // namespace llmopt_stream
