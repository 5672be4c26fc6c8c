#include <memory>
#include <string_view>
#include <utility>

#include "bindings/bindings.hpp"
#include "source/ndjson_reader.hpp"

namespace llmopt_stream::bindings {
namespace {

/// What a Python function returns piece by piece, until it returns nothing.
class CallbackByteStream final : public ByteStream {
public:
    explicit CallbackByteStream(py::function next) : next_(std::move(next)) {}
    ~CallbackByteStream() override {
        const py::gil_scoped_acquire gil;
        next_ = {};
        piece_ = {};
    }
    CallbackByteStream(const CallbackByteStream&) = delete;
    CallbackByteStream& operator=(const CallbackByteStream&) = delete;

    [[nodiscard]] std::size_t read(std::span<char> into) override {
        if (rest_.empty()) {
            const py::gil_scoped_acquire gil;
            piece_ = next_().cast<py::bytes>();
            rest_ = piece_;
        }
        const std::size_t bytes = rest_.copy(into.data(), into.size());
        rest_.remove_prefix(bytes);
        return bytes;
    }

private:
    py::object next_;
    py::bytes piece_;
    std::string_view rest_;
};

}  // namespace

void bind_sources(py::module_& module) {
    py::class_<NdjsonReader>(module, "NdjsonReader",
                             "Newline-delimited JSON from a file, or \"-\" for standard input.")
        .def(py::init<const std::string&>(), py::arg("path"))
        .def_static(
            "of",
            [](py::function next) {
                return std::make_unique<NdjsonReader>(std::make_unique<CallbackByteStream>(std::move(next)));
            },
            py::arg("next"), "Reads the bytes that next() returns, until they are empty.")
        .def("set_keep_records", &NdjsonReader::set_keep_records, py::arg("keep"),
             "Whether record() will be asked for.")
        .def(
            "record",
            [](const NdjsonReader& self, std::size_t input_index) {
                return py::bytes(self.record(input_index));
            },
            py::arg("input_index"),
            "The bytes of a record of the last batch, by its place among its input records.")
        .def("seek", &NdjsonReader::seek, py::arg("offset"),
             "Before anything was read: goes on at an offset.")
        .def_property_readonly("offset", &NdjsonReader::offset,
                               "Where the first record that was not taken begins, in the decompressed bytes.")
        .def_property_readonly("bytes_read", &NdjsonReader::bytes_read)
        .def_property_readonly("total_bytes", &NdjsonReader::total_bytes, "0 if unknown.");
}

}  // namespace llmopt_stream::bindings
