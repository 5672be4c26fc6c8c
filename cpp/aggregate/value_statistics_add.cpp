#include "aggregate/value_statistics_add.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <type_traits>

#include "aggregate/compensated_sum.hpp"
#include "aggregate/quantile_sketch.hpp"

namespace llmopt_stream {

namespace {

/// Values on their way into the states: what can be computed for all of them alike is
/// computed here first, in loops that the compiler vectorises. Plain arrays, because a
/// checked subscript would prevent that.
template <typename Value>
struct Chunk {
    static constexpr std::size_t kSize = 256;

    Value values[kSize];
    double squares[kSize];
    double squares_low[kSize];
    LogHistogram::Bucket buckets[kSize];
    std::byte* rows[kSize];
};

/// Whether products of zero, or-ed together, were all 0 or -0: the other factors were finite.
/// (A test that vectorises without SSE4.1, unlike comparisons.)
bool all_zero(std::uint64_t products) noexcept { return products << 1 == 0; }

/// Copies the usable values, and moves the rows together with them if some are not.
/// Returns the rows of the values taken.
std::span<std::byte* const> take(Chunk<double>& chunk, std::span<std::byte* const> rows,
                                 const ValueColumn& column, std::size_t first) {
    const double* const input = column.float64.data() + first;
    const std::size_t size = rows.size();
    std::uint64_t products = 0;
    for (std::size_t i = 0; i < size; ++i) {
        chunk.values[i] = input[i] + 0.0;  // -0.0 becomes 0.0
        products |= std::bit_cast<std::uint64_t>(input[i] * 0.0);
    }
    if (all_zero(products)) [[likely]] {
        return rows;
    }
    std::size_t taken = 0;
    for (std::size_t i = 0; i < rows.size(); ++i) {
        chunk.values[taken] = chunk.values[i];
        chunk.rows[taken] = rows[i];
        taken += std::isfinite(chunk.values[i]) ? 1 : 0;
    }
    return std::span(chunk.rows).first(taken);
}

std::span<std::byte* const> take(Chunk<std::int64_t>& chunk, std::span<std::byte* const> rows,
                                 const ValueColumn& column, std::size_t first) {
    const std::int64_t* const input = column.int64.data() + first;
    std::copy_n(input, rows.size(), chunk.values);
    if (column.present.empty()) {
        return rows;
    }
    std::size_t taken = 0;
    for (std::size_t i = 0; i < rows.size(); ++i) {
        chunk.values[taken] = input[i];
        chunk.rows[taken] = rows[i];
        taken += column.present[first + i] != 0 ? 1 : 0;
    }
    return std::span(chunk.rows).first(taken);
}

void square_values(Chunk<double>& chunk, std::size_t size) noexcept {
    std::uint64_t products = 0;
    for (std::size_t i = 0; i < size; ++i) {
        const DoubleDouble square = two_product(chunk.values[i], chunk.values[i]);
        chunk.squares[i] = square.hi;
        chunk.squares_low[i] = square.lo;
        products |= std::bit_cast<std::uint64_t>(square.lo * 0.0);
    }
    if (!all_zero(products)) {
        for (std::size_t i = 0; i < size; ++i) {
            chunk.squares_low[i] = exact_square(chunk.values[i]).lo;
        }
    }
}

void square_values(Chunk<std::int64_t>& chunk, std::size_t size) noexcept {
    for (std::size_t i = 0; i < size; ++i) {
        const std::int64_t value = chunk.values[i];
        constexpr std::int64_t kExactInDouble = std::int64_t{1} << 53;
        DoubleDouble square;
        if (value >= -kExactInDouble && value <= kExactInDouble) [[likely]] {
            square = exact_square(static_cast<double>(value));
        } else {
            const Int128 wide = static_cast<Int128>(value) * value;
            square.hi = static_cast<double>(wide);
            square.lo = static_cast<double>(wide - static_cast<Int128>(square.hi));
        }
        chunk.squares[i] = square.hi;
        chunk.squares_low[i] = square.lo;
    }
}

template <typename Value, ValueParts kParts>
std::uint64_t add_values(std::span<std::byte* const> all_rows, std::size_t offset, const ValueColumn& column,
                         std::size_t first, SizeClassPool& pool) {
    constexpr ValueLayout kLayout(kParts);
    constexpr bool kSumOfIntegers = kParts.sum && std::is_integral_v<Value>;
    // Only what take() and the loops below wrote is read; clearing it would cost as much.
    [[gnu::uninitialized]] Chunk<Value> chunk;
    std::uint64_t skipped = 0;
    for (std::size_t begin = 0; begin < all_rows.size(); begin += chunk.kSize) {
        const std::span<std::byte* const> input =
            all_rows.subspan(begin, std::min(chunk.kSize, all_rows.size() - begin));
        const std::span<std::byte* const> rows = take(chunk, input, column, first + begin);
        skipped += input.size() - rows.size();
        if constexpr (kParts.squares) {
            square_values(chunk, rows.size());
        }
        if constexpr (kParts.sketch) {
            LogHistogram::buckets_of(chunk.values, rows.size(), chunk.buckets);
        }
        std::byte* const* const states = rows.data();
        for (std::size_t i = 0; i < rows.size(); ++i) {
            std::byte* const state = states[i] + offset;
            const Value value = chunk.values[i];
            const std::uint64_t count = load_part<std::uint64_t>(state) + 1;
            store_part(state, count);
            CompensatedSum sum;
            CompensatedSum squares;
            if constexpr (kSumOfIntegers) {
                store_part(state + kLayout.sum, load_part<Int128>(state + kLayout.sum) + value);
            } else if constexpr (kParts.sum) {
                sum = load_part<CompensatedSum>(state + kLayout.sum);
                sum.add(value);
            }
            if constexpr (kParts.squares) {
                squares = load_part<CompensatedSum>(state + kLayout.squares);
                squares.add(DoubleDouble{chunk.squares[i], chunk.squares_low[i]});
            }
            if (count % CompensatedSum::kNormalizeEvery == 0) [[unlikely]] {
                sum.normalize();
                squares.normalize();
            }
            if constexpr (kParts.sum && !kSumOfIntegers) {
                store_part(state + kLayout.sum, sum);
            }
            if constexpr (kParts.squares) {
                store_part(state + kLayout.squares, squares);
            }
            if constexpr (kParts.extremes) {
                store_part(state + kLayout.min, std::min(load_part<Value>(state + kLayout.min), value));
                store_part(state + kLayout.max, std::max(load_part<Value>(state + kLayout.max), value));
            }
            if constexpr (kParts.sketch) {
                auto sketch = load_part<QuantileSketch>(state + kLayout.sketch);
                if (!sketch.try_add(static_cast<double>(value), chunk.buckets[i])) [[unlikely]] {
                    sketch.add_slowly(static_cast<double>(value), chunk.buckets[i], pool);
                    store_part(state + kLayout.sketch, sketch);
                }
            }
        }
    }
    return skipped;
}

template <typename Value>
AddValuesFunction function_for(ValueParts parts) noexcept {
    if (parts.sketch) {
        return parts.squares ? add_values<Value, ValueParts{true, true, true, true}>
               : parts.sum   ? add_values<Value, ValueParts{true, false, true, true}>
                             : add_values<Value, ValueParts{false, false, true, true}>;
    }
    if (parts.extremes) {
        return parts.squares ? add_values<Value, ValueParts{true, true, true, false}>
               : parts.sum   ? add_values<Value, ValueParts{true, false, true, false}>
                             : add_values<Value, ValueParts{false, false, true, false}>;
    }
    return parts.sum ? add_values<Value, ValueParts{true, false, false, false}>
                     : add_values<Value, ValueParts{}>;
}

}  // namespace

AddValuesFunction add_values_function(FieldType type, ValueParts parts) noexcept {
    return type == FieldType::kInt64 ? function_for<std::int64_t>(parts) : function_for<double>(parts);
}

}  // namespace llmopt_stream
