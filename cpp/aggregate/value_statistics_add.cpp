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
[[gnu::always_inline]] inline std::span<std::byte* const> take(Chunk<double>& chunk,
                                                               std::span<std::byte* const> rows,
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

[[gnu::always_inline]] inline std::span<std::byte* const> take(Chunk<std::int64_t>& chunk,
                                                               std::span<std::byte* const> rows,
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

[[gnu::always_inline]] inline void square_values(Chunk<double>& chunk, std::size_t size) noexcept {
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

[[gnu::always_inline]] inline void square_values(Chunk<std::int64_t>& chunk, std::size_t size) noexcept {
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

template <typename Term>
void add_term(std::byte* part, Term term, bool normalizes) noexcept {
    auto sum = load_part<CompensatedSum>(part);
    sum.add(term);
    if (normalizes) [[unlikely]] {
        sum.normalize();
    }
    store_part(part, sum);
}

/// The sum and the sum of squares at once, as their layout has them: one instruction for a step of both,
/// and the bits that CompensatedSum computes for each.
class PairedSums {
public:
    static constexpr std::size_t kLow = 2 * sizeof(double);

    [[gnu::always_inline]] explicit PairedSums(const std::byte* part) noexcept
        : high_(load_part<Pair>(part)), low_(load_part<Pair>(part + kLow)) {}

    [[gnu::always_inline]] void add(double value, DoubleDouble square) noexcept {
        const Pair term{value, square.hi};
        const Pair sum = high_ + term;
        const Pair term_in_sum = sum - high_;
        const Pair error = (high_ - (sum - term_in_sum)) + (term - term_in_sum);
        // Unlike 0.0, -0.0 changes nothing whatever it is added to.
        low_ += error + Pair{-0.0, square.lo};
        high_ = sum;
    }
    [[gnu::always_inline]] void normalize() noexcept {
        const Pair sum = high_ + low_;
        const Pair low_in_sum = sum - high_;
        const Pair error = (high_ - (sum - low_in_sum)) + (low_ - low_in_sum);
        const auto is_finite = sum - sum == Pair{0.0, 0.0};
        low_ = is_finite ? error : Pair{0.0, 0.0};
        high_ = is_finite ? sum : high_;
    }
    [[gnu::always_inline]] void store(std::byte* part) const noexcept {
        store_part(part, high_);
        store_part(part + kLow, low_);
    }

private:
    using Pair [[gnu::vector_size(2 * sizeof(double))]] = double;

    Pair high_;
    Pair low_;
};

void include(std::byte* min, std::byte* max, double value) noexcept {
    // Assigned like this, and not through memcpy, it is one instruction for each.
    using Stored [[gnu::may_alias]] = double;
    auto& least = *reinterpret_cast<Stored*>(min);
    auto& greatest = *reinterpret_cast<Stored*>(max);
    least = value < least ? value : least;
    greatest = value > greatest ? value : greatest;
}

void include(std::byte* min, std::byte* max, std::int64_t value) noexcept {
    store_part(min, std::min(load_part<std::int64_t>(min), value));
    store_part(max, std::max(load_part<std::int64_t>(max), value));
}

template <typename Value, ValueParts kParts>
[[gnu::always_inline]] inline std::uint64_t add_values(std::span<std::byte* const> all_rows,
                                                       std::size_t offset, const ValueColumn& column,
                                                       std::size_t first, SizeClassPool& pool) {
    constexpr bool kIntegers = std::is_integral_v<Value>;
    constexpr ValueLayout kLayout(kParts, kIntegers ? FieldType::kInt64 : FieldType::kFloat64);
    // So many values take as long as a block of a sketch comes from memory.
    constexpr std::size_t kAhead = 12;
    constexpr bool kPairsSums = kParts.squares && !kIntegers;
    static_assert(!kPairsSums || kLayout.low == PairedSums::kLow);
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
            if constexpr (kParts.sketch) {
                const std::byte* const ahead = states[std::min(i + kAhead, rows.size() - 1)] + offset;
                load_part<QuantileSketch>(ahead + kLayout.sketch).prefetch();
            }
            std::byte* const state = states[i] + offset;
            const Value value = chunk.values[i];
            const std::uint64_t count = load_part<std::uint64_t>(state) + 1;
            store_part(state, count);
            const bool normalizes = count % CompensatedSum::kNormalizeEvery == 0;
            if constexpr (kPairsSums) {
                PairedSums sums(state + kLayout.sum);
                sums.add(value, {chunk.squares[i], chunk.squares_low[i]});
                if (normalizes) [[unlikely]] {
                    sums.normalize();
                }
                sums.store(state + kLayout.sum);
            } else if constexpr (kParts.sum && kIntegers) {
                store_part(state + kLayout.sum, load_part<Int128>(state + kLayout.sum) + value);
            } else if constexpr (kParts.sum) {
                add_term(state + kLayout.sum, value, normalizes);
            }
            if constexpr (kParts.squares && kIntegers) {
                add_term(state + kLayout.squares, DoubleDouble{chunk.squares[i], chunk.squares_low[i]},
                         normalizes);
            }
            if constexpr (kParts.extremes) {
                include(state + kLayout.min, state + kLayout.max, value);
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

template <typename Value, ValueParts kParts>
std::uint64_t add_narrow(std::span<std::byte* const> rows, std::size_t offset, const ValueColumn& column,
                         std::size_t first, SizeClassPool& pool) {
    return add_values<Value, kParts>(rows, offset, column, first, pool);
}

// Without FMA: what the compiler makes of it fuses nothing, and sums nothing in another order.
template <typename Value, ValueParts kParts>
#ifdef __x86_64__
[[gnu::target("avx2")]]
#endif
std::uint64_t add_wide(std::span<std::byte* const> rows, std::size_t offset, const ValueColumn& column,
                       std::size_t first, SizeClassPool& pool) {
    return add_values<Value, kParts>(rows, offset, column, first, pool);
}

template <typename Value, ValueParts kParts>
AddValuesFunction function_with(Registers registers) noexcept {
    return registers == Registers::kWide ? add_wide<Value, kParts> : add_narrow<Value, kParts>;
}

template <typename Value>
AddValuesFunction function_for(ValueParts parts, Registers registers) noexcept {
    if (parts.sketch) {
        return parts.squares ? function_with<Value, ValueParts{true, true, true, true}>(registers)
               : parts.sum   ? function_with<Value, ValueParts{true, false, true, true}>(registers)
                             : function_with<Value, ValueParts{false, false, true, true}>(registers);
    }
    if (parts.extremes) {
        return parts.squares ? function_with<Value, ValueParts{true, true, true, false}>(registers)
               : parts.sum   ? function_with<Value, ValueParts{true, false, true, false}>(registers)
                             : function_with<Value, ValueParts{false, false, true, false}>(registers);
    }
    return parts.sum ? function_with<Value, ValueParts{true, false, false, false}>(registers)
                     : function_with<Value, ValueParts{}>(registers);
}

}  // namespace

Registers widest_registers() noexcept {
#ifdef __x86_64__
    return __builtin_cpu_supports("avx2") != 0 ? Registers::kWide : Registers::kNarrow;
#else
    return Registers::kNarrow;
#endif
}

AddValuesFunction add_values_function(FieldType type, ValueParts parts, Registers registers) noexcept {
    return type == FieldType::kInt64 ? function_for<std::int64_t>(parts, registers)
                                     : function_for<double>(parts, registers);
}

}  // namespace llmopt_stream
