#include "bindings/python_records.hpp"

#include <datetime.h>

#include <optional>
#include <string>
#include <string_view>

#include "record/iso8601.hpp"

namespace llmopt_stream::bindings {
namespace {

/// Puts away an exception of user code while a record is read.
py::object or_nothing(PyObject* owned) {
    if (owned == nullptr) {
        PyErr_Clear();
    }
    return py::reinterpret_steal<py::object>(owned);
}

bool is_scalar(PyObject* object) noexcept {
    return object == Py_None || PyUnicode_Check(object) || PyBytes_Check(object) || PyLong_Check(object) ||
           PyFloat_Check(object);
}

bool can_have_fields(PyObject* object) noexcept {
    return !is_scalar(object) && !PyList_Check(object) && !PyTuple_Check(object) && !PyAnySet_Check(object);
}

py::object get(py::handle object, const py::str& name) {
    if (PyDict_Check(object.ptr())) {
        PyObject* const value = PyDict_GetItemWithError(object.ptr(), name.ptr());
        if (value == nullptr) {
            PyErr_Clear();
        }
        return py::reinterpret_borrow<py::object>(value);
    }
    if (!can_have_fields(object.ptr())) {
        return {};
    }
    if (PyMapping_Check(object.ptr()) != 0) {
        if (py::object value = or_nothing(PyObject_GetItem(object.ptr(), name.ptr()))) {
            return value;
        }
    }
    return or_nothing(PyObject_GetAttr(object.ptr(), name.ptr()));
}

std::optional<std::string_view> utf8(PyObject* text) noexcept {
    Py_ssize_t size = 0;
    const char* const bytes = PyUnicode_AsUTF8AndSize(text, &size);
    if (bytes == nullptr) {
        PyErr_Clear();
        return std::nullopt;
    }
    return std::string_view(bytes, static_cast<std::size_t>(size));
}

std::string_view type_name(PyObject* object) noexcept { return Py_TYPE(object)->tp_name; }

/// Python's and NumPy's truth values.
bool is_bool(PyObject* object) noexcept {
    return PyBool_Check(object) || type_name(object) == "numpy.bool" || type_name(object) == "numpy.bool_";
}

/// NumPy's integers and floats, Decimal and Fraction are numbers too; truth values are not.
struct Number {
    enum class Kind { kNone, kInteger, kBeyondInt64, kDouble } kind = Kind::kNone;
    std::int64_t integer = 0;
    double number = 0;
    py::object exact;
};

Number number_of(PyObject* object) {
    if (PyFloat_Check(object)) {
        return {Number::Kind::kDouble, 0, PyFloat_AS_DOUBLE(object), {}};
    }
    if (is_bool(object)) {
        return {};
    }
    py::object integer;
    if (PyLong_Check(object)) {
        integer = py::reinterpret_borrow<py::object>(object);
    } else if (PyUnicode_Check(object) || PyBytes_Check(object)) {
        return {};
    } else if (PyIndex_Check(object) != 0) {
        integer = or_nothing(PyNumber_Index(object));
    }
    if (integer) {
        int overflow = 0;
        const long long value = PyLong_AsLongLongAndOverflow(integer.ptr(), &overflow);
        if (overflow == 0) {
            return {Number::Kind::kInteger, value, 0, {}};
        }
        double rounded = PyLong_AsDouble(integer.ptr());
        if (PyErr_Occurred() != nullptr) {
            PyErr_Clear();
            rounded = overflow > 0 ? HUGE_VAL : -HUGE_VAL;
        }
        return {Number::Kind::kBeyondInt64, 0, rounded, integer};
    }
    const PyNumberMethods* const methods = Py_TYPE(object)->tp_as_number;
    if (methods != nullptr && methods->nb_float != nullptr) {
        if (const py::object value = or_nothing(PyNumber_Float(object))) {
            return {Number::Kind::kDouble, 0, PyFloat_AS_DOUBLE(value.ptr()), {}};
        }
    }
    return {};
}

/// Days since the epoch of a date in the proleptic Gregorian calendar (Hinnant, "chrono-
/// compatible low-level date algorithms").
std::int64_t days_since_epoch(int year, int month, int day) noexcept {
    const int shifted_year = month <= 2 ? year - 1 : year;
    const int era = (shifted_year >= 0 ? shifted_year : shifted_year - 399) / 400;
    const int year_of_era = shifted_year - era * 400;
    const int day_of_year = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1;
    const int day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    return std::int64_t{era} * 146097 + day_of_era - 719468;
}

constexpr std::int64_t kMicrosPerSecond = 1'000'000;
constexpr std::int64_t kMicrosPerDay = 86'400 * kMicrosPerSecond;

std::optional<Timestamp> micros_of_datetime(PyObject* object) {
    Timestamp time = days_since_epoch(PyDateTime_GET_YEAR(object), PyDateTime_GET_MONTH(object),
                                      PyDateTime_GET_DAY(object)) *
                     kMicrosPerDay;
    if (!PyDateTime_Check(object)) {
        return time;
    }
    time += ((PyDateTime_DATE_GET_HOUR(object) * 60 + PyDateTime_DATE_GET_MINUTE(object)) * std::int64_t{60} +
             PyDateTime_DATE_GET_SECOND(object)) *
                kMicrosPerSecond +
            PyDateTime_DATE_GET_MICROSECOND(object);
    if (PyDateTime_DATE_GET_TZINFO(object) == Py_None) {
        return time;
    }
    const py::object offset = or_nothing(PyObject_CallMethod(object, "utcoffset", nullptr));
    if (!offset || PyDelta_Check(offset.ptr()) == 0) {
        return offset && offset.is_none() ? std::optional(time) : std::nullopt;
    }
    return time - PyDateTime_DELTA_GET_DAYS(offset.ptr()) * kMicrosPerDay -
           PyDateTime_DELTA_GET_SECONDS(offset.ptr()) * kMicrosPerSecond -
           PyDateTime_DELTA_GET_MICROSECONDS(offset.ptr());
}

/// pandas' NaT is a datetime that is not itself.
bool is_not_a_time(PyObject* date) {
    if (PyDateTime_CheckExact(date) || PyDate_CheckExact(date)) {
        return false;
    }
    const py::object differs = or_nothing(PyObject_RichCompare(date, date, Py_NE));
    return differs && differs.ptr() == Py_True;
}

bool is_numpy_datetime(PyObject* object) noexcept { return type_name(object) == "numpy.datetime64"; }

/// Nothing for NumPy's not-a-time, and for times beyond int64 microseconds.
std::optional<Timestamp> micros_of_numpy(PyObject* object) {
    const py::object micros = or_nothing(PyObject_CallMethod(object, "astype", "s", "datetime64[us]"));
    const py::object count =
        micros ? or_nothing(PyObject_CallMethod(micros.ptr(), "astype", "s", "int64")) : micros;
    const Number time = count ? number_of(count.ptr()) : Number{};
    // NumPy's not-a-time is the smallest integer.
    return time.kind == Number::Kind::kInteger && time.integer != kMinTimestamp ? std::optional(time.integer)
                                                                                : std::nullopt;
}

std::optional<Timestamp> micros_of_event_timestamp(PyObject* object) {
    if (type_name(object) != "EventTimestamp" ||
        !py::isinstance(object, py::module_::import("llmopt_stream.events").attr("EventTimestamp"))) {
        return std::nullopt;
    }
    const py::object count = or_nothing(PyNumber_Long(object));
    const Number time = count ? number_of(count.ptr()) : Number{};
    return time.kind == Number::Kind::kInteger ? std::optional(time.integer) : std::nullopt;
}

Malformed set_time(PyObject* object, BatchBuilder& builder) {
    if (object == Py_None) {
        return builder.set_time_null();
    }
    if (PyUnicode_Check(object)) {
        const auto text = utf8(object);
        return text ? builder.set_time_text(*text) : Malformed::kTimeInvalid;
    }
    if (PyDate_Check(object)) {
        const auto time = is_not_a_time(object) ? std::nullopt : micros_of_datetime(object);
        return time ? builder.set_time_micros(*time) : Malformed::kTimeInvalid;
    }
    if (is_numpy_datetime(object)) {
        const auto time = micros_of_numpy(object);
        return time ? builder.set_time_micros(*time) : Malformed::kTimeInvalid;
    }
    if (const auto time = micros_of_event_timestamp(object)) {
        return builder.set_time_micros(*time);
    }
    const Number time = number_of(object);
    switch (time.kind) {
        case Number::Kind::kInteger: return builder.set_time(time.integer);
        case Number::Kind::kDouble: return builder.set_time(time.number);
        default: return builder.set_time_unusable();
    }
}

Malformed set_value(PyObject* object, std::size_t column, BatchBuilder& builder) {
    const Number value = number_of(object);
    switch (value.kind) {
        case Number::Kind::kInteger: return builder.set_value(column, value.integer);
        case Number::Kind::kBeyondInt64:
        case Number::Kind::kDouble: return builder.set_value(column, value.number);
        default: return builder.set_value_unusable(column);
    }
}

/// Where a scalar goes: a field of the key, or a label.
struct KeyField {
    BatchBuilder& builder;
    std::size_t field;

    template <typename Value>
    Malformed set(Value value) const {
        return builder.set_key(field, value);
    }
    [[nodiscard]] Malformed set_null() const { return builder.set_key_null(field); }
    /// Rounded it would be a key together with its neighbours.
    [[nodiscard]] static Malformed set_rounded(double) { return Malformed::kKeyNotScalar; }
    [[nodiscard]] static Malformed set_unusable(Malformed why) { return why; }
};
struct LabelField {
    BatchBuilder& builder;
    std::size_t column;

    template <typename Value>
    Malformed set(Value value) const {
        return builder.set_label(column, value);
    }
    [[nodiscard]] Malformed set_null() const { return builder.set_label_null(column); }
    [[nodiscard]] Malformed set_rounded(double value) const { return builder.set_label(column, value); }
    [[nodiscard]] Malformed set_unusable(Malformed) const { return builder.set_label_null(column); }
};

/// Times are text, as those of Arrow columns are.
template <typename Target>
Malformed set_time_text(PyObject* object, const Target& target) {
    const bool is_numpy = is_numpy_datetime(object);
    if (!is_numpy && is_not_a_time(object)) {
        return target.set_null();
    }
    const auto time = is_numpy ? micros_of_numpy(object) : micros_of_datetime(object);
    if (!time) {
        return is_numpy ? target.set_null() : target.set_unusable(Malformed::kKeyNotScalar);
    }
    const bool has_time_of_day = is_numpy || PyDateTime_Check(object);
    return target.set(std::string_view(has_time_of_day ? format_iso8601(*time) : format_iso8601_date(*time)));
}

template <typename Target>
Malformed set_scalar(PyObject* object, const Target& target) {
    if (PyUnicode_Check(object)) {
        const auto text = utf8(object);
        return text ? target.set(*text) : target.set_unusable(Malformed::kBadUtf8);
    }
    if (object == Py_None) {
        return target.set_null();
    }
    if (is_bool(object)) {
        return target.set(PyObject_IsTrue(object) == 1);
    }
    if (PyDate_Check(object) || is_numpy_datetime(object)) {
        return set_time_text(object, target);
    }
    const Number number = number_of(object);
    if (number.kind == Number::Kind::kInteger) {
        return target.set(number.integer);
    }
    if (number.kind == Number::Kind::kDouble) {
        return target.set(number.number);
    }
    if (number.kind == Number::Kind::kBeyondInt64) {
        const unsigned long long value = PyLong_AsUnsignedLongLong(number.exact.ptr());
        if (PyErr_Occurred() == nullptr) {
            return target.set(static_cast<std::uint64_t>(value));
        }
        PyErr_Clear();
        return target.set_rounded(number.number);
    }
    return target.set_unusable(Malformed::kKeyNotScalar);
}

}  // namespace

PythonRecordDecoder::Path::Path(const std::string& dotted) {
    std::vector<std::string> parts(1);
    for (const char c : dotted) {
        if (c == '.') {
            parts.emplace_back();
        } else {
            parts.back().push_back(c);
        }
    }
    segments = parts.size();
    for (std::size_t from = 0; from < segments; ++from) {
        names.emplace_back();
        std::string joined;
        for (std::size_t to = from; to < segments; ++to) {
            joined += (to == from ? "" : ".") + parts[to];
            PyObject* name = PyUnicode_InternFromString(joined.c_str());
            names.back().push_back(py::reinterpret_steal<py::str>(name));
        }
    }
}

PythonRecordDecoder::PythonRecordDecoder(const Schema& schema) : time_(schema.time_path) {
    if (PyDateTimeAPI == nullptr) {
        PyDateTime_IMPORT;
    }
    for (const std::string& path : schema.key_paths) {
        keys_.emplace_back(path);
    }
    for (const ValueField& field : schema.values) {
        values_.emplace_back(field.path);
    }
    for (const std::string& path : schema.labels) {
        labels_.emplace_back(path);
    }
}

void PythonRecordDecoder::find(py::handle object, const Path& path, std::size_t from, Found& found) {
    const std::vector<py::str>& names = path.names[from];
    for (std::size_t count = 1; count <= names.size(); ++count) {
        py::object child = get(object, names[count - 1]);
        if (!child) {
            continue;
        }
        if (from + count < path.segments) {
            find(child, path, from + count, found);
        } else if (found.value) {
            found.twice = true;
        } else {
            found.value = std::move(child);
        }
    }
}

void PythonRecordDecoder::decode(py::handle record, BatchBuilder& builder,
                                 std::optional<Timestamp> time) const {
    builder.begin_record();
    if (!can_have_fields(record.ptr())) {
        builder.reject(Malformed::kNotAnObject);
        return;
    }
    const auto read = [&](const Path& path, auto set) {
        Found found;
        find(record, path, 0, found);
        if (found.twice) {
            return Malformed::kDuplicateField;
        }
        return found.value ? set(found.value.ptr()) : Malformed::kNone;
    };
    Malformed why = time ? builder.set_time_micros(*time)
                         : read(time_, [&](PyObject* value) { return set_time(value, builder); });
    for (std::size_t field = 0; field < keys_.size() && why == Malformed::kNone; ++field) {
        why =
            read(keys_[field], [&](PyObject* value) { return set_scalar(value, KeyField{builder, field}); });
    }
    for (std::size_t column = 0; column < values_.size() && why == Malformed::kNone; ++column) {
        why = read(values_[column], [&](PyObject* value) { return set_value(value, column, builder); });
    }
    for (std::size_t column = 0; column < labels_.size() && why == Malformed::kNone; ++column) {
        why = read(labels_[column],
                   [&](PyObject* value) { return set_scalar(value, LabelField{builder, column}); });
    }
    if (why == Malformed::kNone) {
        builder.end_record();
    } else {
        builder.reject(why);
    }
}

}  // namespace llmopt_stream::bindings
