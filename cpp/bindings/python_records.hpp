#pragma once

#include <optional>
#include <string>
#include <vector>

#include "bindings/pybind.hpp"
#include "record/batch_builder.hpp"
#include "record/schema.hpp"

namespace llmopt_stream::bindings {

/// Decodes the schema's fields of Python records: dicts and other mappings by item, anything
/// else (dataclasses, pydantic models, msgspec structs) by attribute. The GIL must be held.
/// Values mean what they would mean in JSON; datetimes are times too.
class PythonRecordDecoder {
public:
    explicit PythonRecordDecoder(const Schema& schema);

    /// Adds one record, accepted or rejected, to the batch. Exceptions of a record's own
    /// attributes or conversions make the field unusable; they do not come out.
    /// With `time`, that is its event time, whatever its fields say.
    void decode(py::handle record, BatchBuilder& builder, std::optional<Timestamp> time = std::nullopt) const;

private:
    /// A dotted path as the names under which its parts may be found: any number of its segments in one
    /// name, and the rest nested there.
    struct Path {
        explicit Path(const std::string& dotted);
        std::size_t segments;
        /// names[from][count - 1]: segments from, …, from + count - 1, joined by dots.
        std::vector<std::vector<py::str>> names;
    };
    struct Found {
        py::object value;
        bool twice = false;
    };

    static void find(py::handle object, const Path& path, std::size_t from, Found& found);

    Path time_;
    std::vector<Path> keys_;
    std::vector<Path> values_;
    std::vector<Path> labels_;
};

}  // namespace llmopt_stream::bindings
