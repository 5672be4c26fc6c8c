#include "aggregate/joint_statistics.hpp"

#include <Eigen/Dense>
#include <algorithm>
#include <cmath>
#include <limits>

#include "aggregate/compensated_sum.hpp"
#include "aggregate/state_part.hpp"
#include "aggregate/sum_codec.hpp"
#include "record/int128.hpp"

namespace llmopt_stream {
namespace {

struct Extremes {
    double min = std::numeric_limits<double>::infinity();
    double max = -std::numeric_limits<double>::infinity();
};

constexpr double kMicrosPerSecond = 1e6;

// A state begins with the number of records, and what times are measured from: the first one's.
// Microseconds since 1970 would have squares too large to tell times within a window apart.
constexpr std::size_t kOrigin = sizeof(std::uint64_t);
constexpr std::size_t kSums = kOrigin + sizeof(Timestamp);

std::uint64_t count_of(const std::byte* state) noexcept { return load_part<std::uint64_t>(state); }

/// The square root of a * b, rounded once where the product stays in range.
double root_of_product(double a, double b) noexcept {
    const double product = a * b;
    return std::isnormal(product) ? std::sqrt(product) : std::sqrt(a) * std::sqrt(b);
}

template <typename Change>
void change_sum(std::byte* at, Change change) noexcept {
    auto sum = load_part<CompensatedSum>(at);
    // An infinite sum stays: inf - inf would say nothing.
    if (std::isfinite(sum.raw_parts().hi)) {
        change(sum);
        store_part(at, sum);
    }
}

}  // namespace

/// The least squares of field 0 over all others.
struct JointStatistics::Fit {
    bool is_solved = false;
    std::vector<double> slopes{};
    double intercept = 0;
    double determination = 0;
};

JointStatistics::JointStatistics(std::vector<Field> fields, std::vector<Result> results)
    : fields_(std::move(fields)), results_(std::move(results)) {
    const auto is_any = [&](auto... kinds) {
        return std::any_of(results_.begin(), results_.end(),
                           [&](const Result& asked) { return ((asked.kind == kinds) || ...); });
    };
    has_time_ = !fields_.back().column;
    fits_ = is_any(Kind::kSlope, Kind::kIntercept, Kind::kDetermination);
    keeps_extremes_ = fits_ || is_any(Kind::kCovariance, Kind::kCovarianceSample, Kind::kCorrelation);
    if (keeps_extremes_) {
        for (std::size_t a = 0; a < fields_.size(); ++a) {
            for (std::size_t b = a; b < fields_.size(); ++b) {
                products_.emplace_back(a, b);
            }
        }
    } else if (is_any(Kind::kWeightedAverage)) {
        products_.emplace_back(0, 1);
    }
    bytes_ = extremes_at(keeps_extremes_ ? fields_.size() : 0);
}

std::size_t JointStatistics::sum_at(std::size_t field) const noexcept {
    return kSums + field * sizeof(CompensatedSum);
}

std::size_t JointStatistics::product_at(std::size_t product) const noexcept {
    return sum_at(fields_.size() + product);
}

std::size_t JointStatistics::extremes_at(std::size_t field) const noexcept {
    return product_at(products_.size()) + field * sizeof(Extremes);
}

std::size_t JointStatistics::product_of(std::size_t a, std::size_t b) const noexcept {
    const auto pair =
        std::find(products_.begin(), products_.end(), std::pair(std::min(a, b), std::max(a, b)));
    return static_cast<std::size_t>(pair - products_.begin());
}

bool JointStatistics::reads_time() const noexcept { return has_time_; }

void JointStatistics::create(std::byte* state) const noexcept {
    std::fill_n(state, bytes_, std::byte{0});
    for (std::size_t field = 0; keeps_extremes_ && field < fields_.size(); ++field) {
        store_part(state + extremes_at(field), Extremes{});
    }
}

std::optional<DoubleDouble> JointStatistics::value_of(std::size_t field, const RecordBatch& batch,
                                                      std::size_t record) const noexcept {
    if (!fields_[field].column) {
        return DoubleDouble{};  // measured from an origin later
    }
    const ValueColumn& column = batch.values[*fields_[field].column];
    if (fields_[field].type == FieldType::kInt64) {
        const bool present = column.present.empty() || column.present[record] != 0;
        return present ? std::optional(to_double_double(Int128{column.int64[record]})) : std::nullopt;
    }
    const double value = column.float64[record];
    return std::isfinite(value) ? std::optional(DoubleDouble{value, 0}) : std::nullopt;
}

void JointStatistics::add_record(std::byte* state, std::span<const DoubleDouble> values) const noexcept {
    const std::uint64_t count = count_of(state) + 1;
    store_part(state, count);
    const bool normalizes = count % CompensatedSum::kNormalizeEvery == 0;
    const auto add_to = [&](std::size_t at, DoubleDouble value) {
        change_sum(state + at, [&](CompensatedSum& sum) {
            sum.add(std::isfinite(value.hi) ? value
                                            : DoubleDouble{std::numeric_limits<double>::infinity(), 0});
            if (normalizes) {
                sum.normalize();
            }
        });
    };
    for (std::size_t field = 0; field < fields_.size(); ++field) {
        add_to(sum_at(field), values[field]);
        if (keeps_extremes_) {
            auto extremes = load_part<Extremes>(state + extremes_at(field));
            extremes.min = std::min(extremes.min, values[field].hi);
            extremes.max = std::max(extremes.max, values[field].hi);
            store_part(state + extremes_at(field), extremes);
        }
    }
    for (std::size_t product = 0; product < products_.size(); ++product) {
        add_to(product_at(product), values[products_[product].first] * values[products_[product].second]);
    }
}

std::uint64_t JointStatistics::add(std::span<std::byte* const> rows, std::size_t offset,
                                   const RecordBatch& batch, std::size_t first, SizeClassPool&) const {
    std::vector<DoubleDouble> values(fields_.size());
    std::uint64_t skipped = 0;
    for (std::size_t i = 0; i < rows.size(); ++i) {
        bool is_whole = true;
        for (std::size_t field = 0; field < fields_.size() && is_whole; ++field) {
            const std::optional<DoubleDouble> value = value_of(field, batch, first + i);
            is_whole = value.has_value();
            values[field] = value.value_or(DoubleDouble{});
        }
        if (is_whole) {
            std::byte* const state = rows[i] + offset;
            if (has_time_) {
                const Timestamp time = batch.time_of(first + i);
                if (count_of(state) == 0) {
                    store_part(state + kOrigin, time);
                }
                values.back() =
                    to_double_double(Int128{time} - Int128{load_part<Timestamp>(state + kOrigin)});
            }
            add_record(state, values);
        } else {
            ++skipped;
        }
    }
    return skipped;
}

void JointStatistics::move_origin(std::byte* state, Timestamp origin) const noexcept {
    const std::size_t time = fields_.size() - 1;
    const DoubleDouble by = to_double_double(Int128{load_part<Timestamp>(state + kOrigin)} - Int128{origin});
    const DoubleDouble count{static_cast<double>(count_of(state)), 0};
    const auto sum_in = [&](std::size_t at) { return load_part<CompensatedSum>(state + at).value_parts(); };
    const DoubleDouble times = sum_in(sum_at(time));
    for (std::size_t field = 0; field < time; ++field) {
        const std::size_t at = product_at(product_of(field, time));
        store_part(state + at, CompensatedSum(sum_in(at) + by * sum_in(sum_at(field))));
    }
    const std::size_t squares = product_at(product_of(time, time));
    store_part(state + squares,
               CompensatedSum(sum_in(squares) + DoubleDouble{2, 0} * by * times + count * by * by));
    store_part(state + sum_at(time), CompensatedSum(times + count * by));
    auto extremes = load_part<Extremes>(state + extremes_at(time));
    extremes.min += by.hi;
    extremes.max += by.hi;
    store_part(state + extremes_at(time), extremes);
    store_part(state + kOrigin, origin);
}

void JointStatistics::merge(std::byte* into, const std::byte* all_from, SizeClassPool&) const {
    const std::byte* from = all_from;
    std::vector<std::byte> moved;
    if (has_time_ && count_of(into) == 0) {
        store_part(into + kOrigin, load_part<Timestamp>(from + kOrigin));
    } else if (has_time_ && count_of(from) != 0) {
        moved.assign(from, from + bytes_);
        move_origin(moved.data(), load_part<Timestamp>(into + kOrigin));
        from = moved.data();
    }
    store_part(into, count_of(into) + count_of(from));
    for (std::size_t at = sum_at(0); at < extremes_at(0); at += sizeof(CompensatedSum)) {
        change_sum(into + at, [&](CompensatedSum& sum) { sum.merge(load_part<CompensatedSum>(from + at)); });
    }
    for (std::size_t field = 0; keeps_extremes_ && field < fields_.size(); ++field) {
        auto extremes = load_part<Extremes>(into + extremes_at(field));
        const auto other = load_part<Extremes>(from + extremes_at(field));
        extremes.min = std::min(extremes.min, other.min);
        extremes.max = std::max(extremes.max, other.max);
        store_part(into + extremes_at(field), extremes);
    }
}

DoubleDouble JointStatistics::total(const std::byte* state, std::size_t field) const noexcept {
    return load_part<CompensatedSum>(state + sum_at(field)).value_parts();
}

DoubleDouble JointStatistics::comoment(const std::byte* state, std::size_t a, std::size_t b) const noexcept {
    const DoubleDouble products =
        load_part<CompensatedSum>(state + product_at(product_of(a, b))).value_parts();
    const auto n = static_cast<double>(count_of(state));
    return products - total(state, a) / n * total(state, b);
}

bool JointStatistics::has_spread(const std::byte* state, std::size_t field) const noexcept {
    const auto extremes = load_part<Extremes>(state + extremes_at(field));
    return extremes.min < extremes.max && comoment(state, field, field).hi > 0;
}

JointStatistics::Fit JointStatistics::fit(const std::byte* state, const Interval& window) const {
    Fit fit;
    const auto regressors = static_cast<Eigen::Index>(fields_.size()) - 1;
    const std::uint64_t n = count_of(state);
    if (n <= static_cast<std::uint64_t>(regressors)) {
        return fit;
    }
    // Of correlations instead of covariances: fields of any unit weigh the same.
    Eigen::VectorXd scale(regressors);
    const auto field_of = [](Eigen::Index regressor) { return static_cast<std::size_t>(regressor) + 1; };
    for (Eigen::Index i = 0; i < regressors; ++i) {
        if (!has_spread(state, field_of(i))) {
            return fit;
        }
        scale(i) = std::sqrt(comoment(state, field_of(i), field_of(i)).hi);
    }
    Eigen::MatrixXd correlations(regressors, regressors);
    for (Eigen::Index i = 0; i < regressors; ++i) {
        for (Eigen::Index j = 0; j < regressors; ++j) {
            correlations(i, j) =
                i == j ? 1 : comoment(state, field_of(i), field_of(j)).hi / (scale(i) * scale(j));
        }
    }
    // Fields that determine each other have no slopes of their own.
    constexpr double kLeastIndependent = 1e-10;
    Eigen::ColPivHouseholderQR<Eigen::MatrixXd> solver(correlations);
    solver.setThreshold(kLeastIndependent);
    if (!correlations.allFinite() || solver.rank() < regressors) {
        return fit;
    }
    // Iterative refinement with residuals in twice the precision (Wilkinson 1963).
    constexpr int kSteps = 3;
    std::vector<DoubleDouble> slopes(static_cast<std::size_t>(regressors));
    for (int step = 0; step < kSteps; ++step) {
        Eigen::VectorXd residual(regressors);
        for (Eigen::Index i = 0; i < regressors; ++i) {
            DoubleDouble left = comoment(state, 0, field_of(i));
            for (Eigen::Index j = 0; j < regressors; ++j) {
                left = left - comoment(state, field_of(i), field_of(j)) * slopes[static_cast<std::size_t>(j)];
            }
            residual(i) = left.hi / scale(i);
        }
        const Eigen::VectorXd correction = solver.solve(residual).cwiseQuotient(scale);
        for (Eigen::Index i = 0; i < regressors; ++i) {
            DoubleDouble& slope = slopes[static_cast<std::size_t>(i)];
            slope = slope + DoubleDouble{correction(i), 0};
        }
    }
    const auto count = static_cast<double>(n);
    DoubleDouble intercept = total(state, 0) / count;
    DoubleDouble explained;
    for (std::size_t field = 1; field < fields_.size(); ++field) {
        const DoubleDouble& slope = slopes[field - 1];
        DoubleDouble mean = total(state, field) / count;
        if (!fields_[field].column) {
            mean =
                mean + to_double_double(Int128{load_part<Timestamp>(state + kOrigin)} - Int128{window.start});
        }
        intercept = intercept - slope * mean;
        explained = explained + slope * comoment(state, 0, field);
        fit.slopes.push_back(slope.hi * (fields_[field].column ? 1.0 : kMicrosPerSecond));
    }
    constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
    fit.intercept = window.start == kMinTimestamp && has_time_ ? kNaN : intercept.hi;
    fit.determination =
        has_spread(state, 0) ? std::clamp(explained.hi / comoment(state, 0, 0).hi, 0.0, 1.0) : kNaN;
    fit.is_solved = true;
    return fit;
}

std::optional<double> JointStatistics::result(const std::byte* state, const Result& asked,
                                              const Fit& fit) const noexcept {
    const auto n = static_cast<double>(count_of(state));
    switch (asked.kind) {
        case Kind::kRatio: return asked.scale * total(state, 0).hi / total(state, 1).hi;
        case Kind::kWeightedAverage:
            return load_part<CompensatedSum>(state + product_at(0)).value() / total(state, 1).hi;
        case Kind::kCovariance: return comoment(state, 0, 1).hi / n;
        case Kind::kCovarianceSample:
            return n < 2 ? std::nullopt : std::optional(comoment(state, 0, 1).hi / (n - 1));
        case Kind::kCorrelation:
            if (!has_spread(state, 0) || !has_spread(state, 1)) {
                return std::nullopt;
            }
            return std::clamp(comoment(state, 0, 1).hi /
                                  root_of_product(comoment(state, 0, 0).hi, comoment(state, 1, 1).hi),
                              -1.0, 1.0);
        default: break;
    }
    if (!fit.is_solved) {
        return std::nullopt;
    }
    switch (asked.kind) {
        case Kind::kSlope: return fit.slopes[asked.regressor - 1];
        case Kind::kIntercept: return fit.intercept;
        default: return fit.determination;
    }
}

void JointStatistics::make_result_columns(std::vector<ResultColumn>& columns) const {
    for (const Result& asked : results_) {
        columns.push_back({asked.name, ResultType::kFloat64});
    }
}

void JointStatistics::append_results(const std::byte* state, const Interval& window,
                                     std::span<ResultColumn> results) const {
    const Fit fitted = fits_ && count_of(state) != 0 ? fit(state, window) : Fit{};
    for (std::size_t i = 0; i < results_.size(); ++i) {
        const std::optional<double> value =
            count_of(state) == 0 ? std::nullopt : result(state, results_[i], fitted);
        if (value && std::isfinite(*value)) {
            results[i].append(*value);
        } else {
            results[i].append_null();
        }
    }
}

void JointStatistics::encode(const std::byte* state, ByteWriter& out) const {
    out.write(count_of(state));
    if (count_of(state) == 0) {
        return;
    }
    out.write(load_part<Timestamp>(state + kOrigin));
    for (std::size_t at = sum_at(0); at < extremes_at(0); at += sizeof(CompensatedSum)) {
        encode_sum(load_part<CompensatedSum>(state + at), out);
    }
    for (std::size_t field = 0; keeps_extremes_ && field < fields_.size(); ++field) {
        const auto extremes = load_part<Extremes>(state + extremes_at(field));
        out.write(extremes.min);
        out.write(extremes.max);
    }
}

void JointStatistics::decode(std::byte* state, ByteReader& in, SizeClassPool&) const {
    const auto count = in.read<std::uint64_t>();
    if (count == 0) {
        return;
    }
    const auto origin = in.read<Timestamp>();
    std::vector<CompensatedSum> sums;
    for (std::size_t at = sum_at(0); at < extremes_at(0); at += sizeof(CompensatedSum)) {
        sums.push_back(decode_sum(in));
    }
    std::vector<Extremes> extremes(keeps_extremes_ ? fields_.size() : 0);
    for (Extremes& of_field : extremes) {
        of_field.min = in.read<double>();
        of_field.max = in.read<double>();
        if (!(of_field.min <= of_field.max) || !std::isfinite(of_field.min) || !std::isfinite(of_field.max)) {
            ByteReader::corrupt("the extremes of a metric");
        }
    }
    store_part(state, count);
    store_part(state + kOrigin, origin);
    for (std::size_t sum = 0; sum < sums.size(); ++sum) {
        store_part(state + sum_at(sum), sums[sum]);
    }
    for (std::size_t field = 0; field < extremes.size(); ++field) {
        store_part(state + extremes_at(field), extremes[field]);
    }
}

}  // namespace llmopt_stream
