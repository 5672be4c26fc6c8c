#include "bindings/bindings.hpp"
#include "source/feedback_generator.hpp"

namespace llmopt_stream::bindings {

namespace {

py::dict counts_of(const FeedbackGenerator& generator) {
    using namespace py::literals;
    const FeedbackCounts& counts = generator.counts();
    const auto malformed = [&counts](FeedbackDefect defect) {
        return counts.malformed[static_cast<std::size_t>(defect)];
    };
    return py::dict("records"_a = counts.records, "late"_a = counts.late, "bytes"_a = counts.bytes,
                    "malformed"_a = py::dict("truncated"_a = malformed(FeedbackDefect::kTruncated),
                                             "not_an_object"_a = malformed(FeedbackDefect::kNotAnObject),
                                             "time_missing"_a = malformed(FeedbackDefect::kTimeMissing),
                                             "time_invalid"_a = malformed(FeedbackDefect::kTimeInvalid),
                                             "bad_utf8"_a = malformed(FeedbackDefect::kBadUtf8),
                                             "nan_literal"_a = malformed(FeedbackDefect::kNanLiteral)));
}

}  // namespace

void bind_generator(py::module_& module) {
    const FeedbackGeneratorSettings defaults;
    py::class_<FeedbackGenerator>(module, "FeedbackGenerator",
                                  "Synthetic FeedbackEvents as NDJSON, in the order of arrival.")
        .def(py::init([](std::uint64_t seed, std::uint64_t events, Timestamp start, double events_per_second,
                         std::vector<std::string> models, std::vector<std::string> regions,
                         std::size_t tenants, Duration max_disorder, double late_share,
                         double malformed_share) {
                 return FeedbackGenerator({.seed = seed,
                                           .events = events,
                                           .traffic = {.start = start,
                                                       .events_per_second = events_per_second,
                                                       .models = std::move(models),
                                                       .regions = std::move(regions),
                                                       .tenants = tenants},
                                           .max_disorder = max_disorder,
                                           .late_share = late_share,
                                           .malformed_share = malformed_share});
             }),
             "Times and durations are microseconds.", py::kw_only(), py::arg("seed") = defaults.seed,
             py::arg("events") = defaults.events, py::arg("start") = defaults.traffic.start,
             py::arg("events_per_second") = defaults.traffic.events_per_second,
             py::arg("models") = defaults.traffic.models, py::arg("regions") = defaults.traffic.regions,
             py::arg("tenants") = defaults.traffic.tenants, py::arg("max_disorder") = defaults.max_disorder,
             py::arg("late_share") = defaults.late_share,
             py::arg("malformed_share") = defaults.malformed_share)
        .def(
            "next_chunk",
            [](FeedbackGenerator& generator, std::size_t max_bytes) {
                std::string chunk;
                {
                    const py::gil_scoped_release release;
                    generator.generate(chunk, max_bytes);
                }
                return py::bytes(chunk);
            },
            py::arg("max_bytes") = std::size_t{1} << 20U,
            "Whole lines of at most max_bytes, but at least one; empty at the end.")
        .def(
            "write",
            [](FeedbackGenerator& generator, const py::bytes& path, const py::object& progress) {
                const auto report = [&progress](std::uint64_t records) {
                    const py::gil_scoped_acquire acquire;
                    if (PyErr_CheckSignals() != 0) {
                        throw py::error_already_set();
                    }
                    if (!progress.is_none()) {
                        progress(records);
                    }
                };
                const std::string file = path;
                {
                    const py::gil_scoped_release release;
                    generator.write_file(file, report);
                }
                return counts_of(generator);
            },
            py::arg("path"), py::arg("progress") = py::none(),
            "Writes all that remains to a file; calls progress(records) every few MiB. Returns counts().")
        .def("counts", &counts_of, "What has been written so far.");
}

}  // namespace llmopt_stream::bindings
