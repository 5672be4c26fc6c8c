#include "source/arrow_values.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>

#include "source/arrow_decimal.hpp"
#include "source/arrow_number.hpp"

namespace llmopt_stream {
namespace {

constexpr double kMissing = std::numeric_limits<double>::quiet_NaN();

bool is_aligned(const void* data) { return reinterpret_cast<std::uintptr_t>(data) % 8 == 0; }

}  // namespace

ArrowValues::ArrowValues(const ArrowSchema& root, const ValueField& field) : column_(root, field.path) {
    const ArrowKind kind = column_.type().kind;
    if (!is_integer(kind) && !is_float(kind) && !is_decimal(kind) && kind != ArrowKind::kNull) {
        column_.refuse("a value is an integer, a float or a decimal");
    }
    if (field.type_is_declared) {
        type_ = field.type;
    } else if (is_integer(kind) && kind != ArrowKind::kUint64) {
        // uint64 does not fit int64: without a declaration it is read as float64.
        type_ = FieldType::kInt64;
    } else {
        is_typed_ = kind != ArrowKind::kNull;
    }
}

ValueColumn ArrowValues::read(const ArrowArray& top, std::size_t first, std::size_t size, ArrowRows rows,
                              Buffers& buffers) {
    ArrowColumnView view = column_.view(top, first, size, validity_);
    const ArrowKind kind = column_.type().kind;
    const bool can_view = !column_.is_dictionary() && rows.rows == nullptr && kind != ArrowKind::kNull &&
                          is_aligned(view.data());
    if (column_.is_dictionary()) {
        const ArrowColumnView values = column_.dictionary(view);
        column_.dictionary_rows(view, rows, values.size, dictionary_rows_);
        view = values;
        rows = {.size = rows.size, .rows = dictionary_rows_.data()};
    }

    ValueColumn out;
    out.type = type_;
    if (type_ == FieldType::kFloat64) {
        if (can_view && kind == ArrowKind::kFloat64 && view.validity == nullptr) {
            out.float64 = {static_cast<const double*>(view.data()) + view.first, rows.size};
            return out;
        }
        if (buffers.float64.size() < rows.size) {
            buffers.float64.resize(rows.size);
        }
        read_float64(view, rows, buffers.float64.data());
        out.float64 = {buffers.float64.data(), rows.size};
        return out;
    }
    if (can_view && kind == ArrowKind::kInt64 && view.validity == nullptr) {
        out.int64 = {static_cast<const std::int64_t*>(view.data()) + view.first, rows.size};
        return out;
    }
    if (buffers.int64.size() < rows.size) {
        buffers.int64.resize(rows.size);
        buffers.present.resize(rows.size);
    }
    if (!read_int64(view, rows, buffers.int64.data(), buffers.present.data())) {
        out.present = {buffers.present.data(), rows.size};
    }
    out.int64 = {buffers.int64.data(), rows.size};
    return out;
}

void ArrowValues::read_float64(const ArrowColumnView& view, ArrowRows rows, double* out) const {
    const ArrowType type = column_.type();
    const auto null = [out](std::size_t k) { out[k] = kMissing; };
    if (type.kind == ArrowKind::kNull) {
        std::fill_n(out, rows.size, kMissing);
    } else if (is_decimal(type.kind)) {
        const auto visit = [&](std::size_t k, std::size_t row) {
            out[k] = to_float64(load_arrow_decimal(type, view, row));
        };
        for_each_row(view, rows, visit, null);
    } else {
        with_arrow_numbers(type.kind, view, [&](const auto& load) {
            const auto visit = [&](std::size_t k, std::size_t row) {
                out[k] = static_cast<double>(load(row));
            };
            for_each_row(view, rows, visit, null);
        });
    }
}

bool ArrowValues::read_int64(const ArrowColumnView& view, ArrowRows rows, std::int64_t* out,
                             std::uint8_t* present) const {
    const ArrowType type = column_.type();
    bool all_present = true;
    const auto store = [&](std::size_t k, std::optional<std::int64_t> value) {
        out[k] = value.value_or(0);
        present[k] = value ? 1 : 0;
        all_present &= value.has_value();
    };
    const auto null = [&](std::size_t k) { store(k, std::nullopt); };
    if (type.kind == ArrowKind::kNull) {
        for (std::size_t k = 0; k < rows.size; ++k) {
            null(k);
        }
    } else if (is_decimal(type.kind)) {
        const auto visit = [&](std::size_t k, std::size_t row) {
            store(k, to_int64(load_arrow_decimal(type, view, row)));
        };
        for_each_row(view, rows, visit, null);
    } else {
        with_arrow_numbers(type.kind, view, [&](const auto& load) {
            const auto visit = [&](std::size_t k, std::size_t row) {
                store(k, llmopt_stream::to_int64(load(row)));
            };
            for_each_row(view, rows, visit, null);
        });
    }
    return all_present;
}

}  // namespace llmopt_stream
