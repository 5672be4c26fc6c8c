#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "bindings/bindings.hpp"
#include "state/kill_point.hpp"
#include "state/memory_state_backend.hpp"
#include "state/rocksdb_state_backend.hpp"

namespace llmopt_stream::bindings {
namespace {

using WithoutGil = py::call_guard<py::gil_scoped_release>;

py::list list_of(const std::vector<CheckpointInfo>& infos) {
    py::list rows;
    for (const CheckpointInfo& info : infos) {
        rows.append(py::make_tuple(info.id, info.created, info.bytes, py::bytes(info.manifest), info.damage));
    }
    return rows;
}

py::object get(StateBackend& backend, const py::bytes& key) {
    std::optional<std::string> value;
    {
        const std::string_view view(key);
        const py::gil_scoped_release release;
        value = backend.get(view);
    }
    return value ? py::object(py::bytes(*value)) : py::none();
}

/// At least one entry, if there is one, and no more than about `bytes`.
py::list scan_page(StateBackend& backend, const py::bytes& prefix, const py::bytes& from, std::size_t bytes) {
    const std::string_view of(prefix);
    const std::string_view begin(from);
    std::vector<std::pair<std::string, std::string>> entries;
    {
        const py::gil_scoped_release release;
        std::size_t taken = 0;
        const auto take = [&](std::string_view key, std::string_view value) {
            entries.emplace_back(key, value);
            taken += key.size() + value.size();
            return taken < bytes;
        };
        backend.scan(of, take, begin);
    }
    py::list page;
    for (const auto& [key, value] : entries) {
        page.append(py::make_tuple(py::bytes(key), py::bytes(value)));
    }
    return page;
}

}  // namespace

void bind_state(py::module_& module) {
    module.def("kill_point", &kill_point, py::arg("name"),
               "Ends the process by SIGKILL if LLMOPT_STREAM_KILL_POINT names this step.");
    module.def(
        "list_checkpoints",
        [](const std::string& path) {
            const Directory directory = Directory::open(path);
            return list_of(CheckpointDirectory(directory).list());
        },
        py::arg("path"),
        "(id, created, bytes, manifest, damage) of each checkpoint in a directory, in use or not.");
    module.def(
        "verify_checkpoint",
        [](const std::string& path, std::uint64_t id) {
            const Directory directory = Directory::open(path);
            return CheckpointDirectory(directory).damage(id, RestoreCheck::kBytes);
        },
        py::arg("path"), py::arg("id"), WithoutGil(), "What is damaged in a checkpoint, in use or not.");

    py::class_<StateChanges>(module, "StateChanges", "Puts and deletes that are made together.")
        .def(py::init<>())
        .def(
            "put",
            [](StateChanges& self, const py::bytes& key, const py::bytes& value,
               std::optional<Timestamp> expires) { self.put(key, value, expires.value_or(kNeverExpires)); },
            py::arg("key"), py::arg("value"), py::arg("expires") = py::none())
        .def("delete", [](StateChanges& self, const py::bytes& key) { self.del(key); }, py::arg("key"));

    py::class_<StateBackend, std::shared_ptr<StateBackend>>(
        module, "StateBackend", "Keys and values, both any bytes, with checkpoints to go back to.")
        .def("get", &get, py::arg("key"))
        .def("apply", &StateBackend::apply, py::arg("changes"), WithoutGil(), "All or nothing.")
        .def("scan_page", &scan_page, py::arg("prefix"), py::arg("start"), py::arg("bytes"),
             "The first entries with this prefix, from a key on.")
        .def("clear", &StateBackend::clear, WithoutGil())
        .def("set_expired_before", &StateBackend::set_expired_before, py::arg("time"), WithoutGil())
        .def("compact", &StateBackend::compact, WithoutGil())
        .def(
            "checkpoint",
            [](StateBackend& self, std::uint64_t id, const py::bytes& manifest) {
                const std::string_view view(manifest);
                const py::gil_scoped_release release;
                self.checkpoint(id, view);
            },
            py::arg("id"), py::arg("manifest"))
        .def(
            "restore",
            [](StateBackend& self, std::uint64_t id, bool verify) {
                std::string manifest;
                {
                    const py::gil_scoped_release release;
                    manifest = self.restore(id, verify ? RestoreCheck::kBytes : RestoreCheck::kSizes);
                }
                return py::bytes(manifest);
            },
            py::arg("id"), py::arg("verify"))
        .def("checkpoints",
             [](StateBackend& self) {
                 std::vector<CheckpointInfo> infos;
                 {
                     const py::gil_scoped_release release;
                     infos = self.checkpoints();
                 }
                 return list_of(infos);
             })
        .def("verify", &StateBackend::verify, py::arg("id"), WithoutGil())
        .def("discard", &StateBackend::discard, py::arg("id"), WithoutGil())
        .def_property_readonly("bytes_written", &StateBackend::bytes_written)
        .def_property_readonly("bytes_read", &StateBackend::bytes_read)
        .def("close", &StateBackend::close, WithoutGil());

    py::class_<MemoryStateBackend, StateBackend, std::shared_ptr<MemoryStateBackend>>(module,
                                                                                      "MemoryStateBackend")
        .def(py::init<>());
    py::class_<RocksDBStateBackend, StateBackend, std::shared_ptr<RocksDBStateBackend>>(module,
                                                                                        "RocksDBStateBackend")
        .def(py::init([](const std::string& path, const std::string& checkpoint_path,
                         std::size_t memtable_bytes, std::size_t cache_bytes) {
                 return std::make_shared<RocksDBStateBackend>(path, checkpoint_path,
                                                              RocksDBMemory{memtable_bytes, cache_bytes});
             }),
             py::arg("path"), py::arg("checkpoint_path"), py::arg("memtable_bytes"), py::arg("cache_bytes"),
             WithoutGil());
}

}  // namespace llmopt_stream::bindings
