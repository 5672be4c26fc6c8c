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

void JsonFields::add(std::string_view path, JsonTarget target) {
    std::uint32_t level = 0;
    for (;;) {
        field(level, path).targets.push_back(target);
        const std::size_t dot = path.find('.');
        if (dot == std::string_view::npos) {
            return;
        }
        Field& object = field(level, path.substr(0, dot));
        if (object.level == kNoLevel) {
            object.level = static_cast<std::uint32_t>(levels_.size());
            level = object.level;
            levels_.emplace_back();
        } else {
            level = object.level;
        }
        path.remove_prefix(dot + 1);
    }
}

}  // namespace llmopt_stream
