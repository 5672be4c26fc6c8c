#include "aggregate/strict_metric.hpp"

#include <cmath>

#include "aggregate/label.hpp"
#include "record/error.hpp"
#include "record/iso8601.hpp"
#include "record/key.hpp"

namespace llmopt_stream {

namespace {

bool is_usable(const ValueColumn& column, std::size_t record) {
    return column.type == FieldType::kFloat64 ? std::isfinite(column.float64[record])
                                              : column.present.empty() || column.present[record] != 0;
}
bool is_usable(const LabelColumn& column, std::size_t record) {
    return !is_null_label(column.values->key(column.code[record]));
}

}  // namespace

std::uint64_t StrictMetric::add(std::span<std::byte* const> rows, std::size_t offset,
                                const RecordBatch& batch, std::size_t first, SizeClassPool& pool) const {
    if (metric().add(rows, offset, batch, first, pool) != 0) {
        refuse(batch, first, rows.size());
    }
    return 0;
}

void StrictMetric::refuse(const RecordBatch& batch, std::size_t first, std::size_t size) const {
    for (std::size_t record = first; record < first + size; ++record) {
        for (const Field& field : fields_) {
            if (field.is_label ? !is_usable(batch.labels[field.column], record)
                               : !is_usable(batch.values[field.column], record)) {
                throw Error(ErrorKind::kAggregation,
                            "field '" + field.name + "': the record of " +
                                format_iso8601(batch.time_of(record)) +
                                " has no usable value, which nulls='error' refuses; key " +
                                key_encoding::text_of(batch.keys->key(batch.key[record])));
            }
        }
    }
    throw Error(ErrorKind::kAggregation, "a record has no usable value, which nulls='error' refuses");
}

}  // namespace llmopt_stream
