#include <memory>
#include <string>

#include "bindings/bindings.hpp"
#include "state/checkpoint_writer.hpp"

namespace llmopt_stream::bindings {

void bind_checkpoints(py::module_& module) {
    using without_gil = py::call_guard<py::gil_scoped_release>;

    py::class_<CheckpointWriter>(module, "CheckpointWriter",
                                 "Writes checkpoints in a thread of its own, in the order given.")
        .def(py::init<std::shared_ptr<StateBackend>>(), py::arg("backend"))
        .def(
            "put",
            [](CheckpointWriter& self, std::string name, const py::bytes& value) {
                StateChanges changes;
                changes.put(std::move(name), value);
                self.apply(std::move(changes));
            },
            py::arg("name"), py::arg("value"))
        .def(
            "checkpoint",
            [](CheckpointWriter& self, std::uint64_t id, const py::bytes& manifest, std::size_t keep,
               Timestamp expired_before) { self.checkpoint(id, manifest, keep, expired_before); },
            py::arg("id"), py::arg("manifest"), py::arg("keep"), py::arg("expired_before") = kMinTimestamp)
        .def("start_over", &CheckpointWriter::start_over, without_gil(),
             "Forgets all state, and failures, before what comes next.")
        .def_property_readonly("pending_bytes", &CheckpointWriter::pending_bytes)
        .def(
            "take_outcomes",
            [](CheckpointWriter& self) {
                py::list outcomes;
                for (const CheckpointWriter::Outcome& outcome : self.take_outcomes()) {
                    outcomes.append(py::make_tuple(
                        outcome.id,
                        outcome.failure ? py::cast(std::string(outcome.failure->what())) : py::none(),
                        outcome.seconds, outcome.bytes));
                }
                return outcomes;
            },
            "(id, what failed or None, seconds, bytes) of checkpoints since the last call.")
        .def("wait", &CheckpointWriter::wait, without_gil(), "Until all is done that was asked for.");
}

}  // namespace llmopt_stream::bindings
