#include <utility>

#include "bindings/bindings.hpp"
#include "window/aligned_window_assigner.hpp"

namespace llmopt_stream::bindings {

void bind_windows(py::module_& module) {
    module.def(
        "assign_windows",
        [](Timestamp time, Duration size, Duration slide, Duration offset, bool cumulative) {
            const auto shape = cumulative ? AlignedWindowAssigner::Shape::kCumulative
                                          : AlignedWindowAssigner::Shape::kSliding;
            std::vector<std::pair<Timestamp, Timestamp>> windows;
            for (const Interval& window :
                 AlignedWindowAssigner(size, slide, offset, shape).windows_of(time)) {
                windows.emplace_back(window.start, window.end);
            }
            return windows;
        },
        py::arg("time"), py::kw_only(), py::arg("size"), py::arg("slide"), py::arg("offset"),
        py::arg("cumulative") = false, "The windows [start, end) that contain a time, earliest first.");
}

}  // namespace llmopt_stream::bindings
