#pragma once

#include <cmath>

#include "record/batch_builder.hpp"
#include "source/json_fields.hpp"
#include "source/json_scan.hpp"

namespace llmopt_stream {

/// Hands what the fields of one record hold to the builder.
class JsonFieldSetter {
public:
    explicit JsonFieldSetter(BatchBuilder& builder) : builder_(builder) {}

    /// The first reason why the record is unusable, or kNone.
    [[nodiscard]] Malformed unusable() const noexcept { return unusable_; }

    void note(Malformed why) noexcept {
        if (unusable_ == Malformed::kNone) {
            unusable_ = why;
        }
    }

    void assign(const JsonFields::Field& field, const json_scan::Scalar& scalar) {
        for (const JsonTarget& target : field.targets) {
            switch (target.role) {
                case JsonTarget::Role::kTime: note(set_time(scalar)); break;
                case JsonTarget::Role::kKey: note(set_key(target.index, scalar)); break;
                case JsonTarget::Role::kValue: note(set_value(target.index, scalar)); break;
                case JsonTarget::Role::kLabel: note(set_label(target.index, scalar)); break;
            }
        }
    }

    void assign_container(const JsonFields::Field& field) {
        for (const JsonTarget& target : field.targets) {
            switch (target.role) {
                case JsonTarget::Role::kTime: note(builder_.set_time_unusable()); break;
                case JsonTarget::Role::kKey: note(Malformed::kKeyNotScalar); break;
                case JsonTarget::Role::kValue: note(builder_.set_value_unusable(target.index)); break;
                case JsonTarget::Role::kLabel: note(builder_.set_label_null(target.index)); break;
            }
        }
    }

private:
    using Scalar = json_scan::Scalar;

    [[nodiscard]] Malformed set_time(const Scalar& scalar) {
        switch (scalar.kind) {
            case Scalar::Kind::kText: return builder_.set_time_text(scalar.text);
            case Scalar::Kind::kInt64: return builder_.set_time(scalar.int64);
            case Scalar::Kind::kUint64: return builder_.set_time(static_cast<double>(scalar.uint64));
            case Scalar::Kind::kWideInteger:
            case Scalar::Kind::kDouble: return builder_.set_time(scalar.float64);
            case Scalar::Kind::kNull: return builder_.set_time_null();
            case Scalar::Kind::kBool: break;
        }
        return builder_.set_time_unusable();
    }

    [[nodiscard]] Malformed set_key(std::size_t field, const Scalar& scalar) {
        switch (scalar.kind) {
            case Scalar::Kind::kText: return builder_.set_key(field, scalar.text);
            case Scalar::Kind::kInt64: return builder_.set_key(field, scalar.int64);
            case Scalar::Kind::kUint64: return builder_.set_key(field, scalar.uint64);
            // As a double it would be a key together with its neighbours.
            case Scalar::Kind::kWideInteger: return Malformed::kKeyNotScalar;
            case Scalar::Kind::kDouble:
                return std::isfinite(scalar.float64) ? builder_.set_key(field, scalar.float64)
                                                     : Malformed::kKeyNotScalar;
            case Scalar::Kind::kBool: return builder_.set_key(field, scalar.boolean);
            case Scalar::Kind::kNull: break;
        }
        return builder_.set_key_null(field);
    }

    [[nodiscard]] Malformed set_value(std::size_t column, const Scalar& scalar) {
        switch (scalar.kind) {
            case Scalar::Kind::kInt64: return builder_.set_value(column, scalar.int64);
            case Scalar::Kind::kUint64: return builder_.set_value(column, static_cast<double>(scalar.uint64));
            case Scalar::Kind::kWideInteger:
            case Scalar::Kind::kDouble: return builder_.set_value(column, scalar.float64);
            case Scalar::Kind::kText:
            case Scalar::Kind::kBool:
            case Scalar::Kind::kNull: break;
        }
        return builder_.set_value_unusable(column);
    }

    /// Not inlined, so that assign() stays as small as it is without labels.
    [[nodiscard, gnu::noinline]] Malformed set_label(std::size_t column, const Scalar& scalar) {
        switch (scalar.kind) {
            case Scalar::Kind::kText: return builder_.set_label(column, scalar.text);
            case Scalar::Kind::kInt64: return builder_.set_label(column, scalar.int64);
            case Scalar::Kind::kUint64: return builder_.set_label(column, scalar.uint64);
            case Scalar::Kind::kWideInteger:
            case Scalar::Kind::kDouble: return builder_.set_label(column, scalar.float64);
            case Scalar::Kind::kBool: return builder_.set_label(column, scalar.boolean);
            case Scalar::Kind::kNull: break;
        }
        return builder_.set_label_null(column);
    }

    BatchBuilder& builder_;
    Malformed unusable_ = Malformed::kNone;
};

}  // namespace llmopt_stream
