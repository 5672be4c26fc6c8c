#include "bindings/user_function.hpp"

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "aggregate/record_lists.hpp"
#include "bindings/results.hpp"
#include "bindings/settings.hpp"
#include "bindings/user_calls.hpp"

namespace llmopt_stream::bindings {
namespace {

struct FunctionCalls {
    explicit FunctionCalls(const py::object& calls)
        : call(calls.attr("call")), too_many(calls.attr("too_many")), plain(calls.attr("plain")) {}

    py::object call, too_many, plain;
};

class UserFunction final : public RecordLists {
public:
    UserFunction(std::shared_ptr<const FunctionCalls> calls, std::vector<std::size_t> labels,
                 std::uint64_t limit, std::string name)
        : RecordLists(std::move(labels), limit), calls_(std::move(calls)), name_(std::move(name)) {}

    void make_result_columns(std::vector<ResultColumn>& columns) const override {
        columns.push_back({name_, ResultType::kNested});
    }
    void append_results(const std::byte* state, const Interval& window,
                        std::span<ResultColumn> results) const override {
        append_pane_results(state, {{}, window, 0}, results);
    }
    void append_pane_results(const std::byte* state, const PanePlace& pane,
                             std::span<ResultColumn> results) const override {
        const py::gil_scoped_acquire gil;
        const py::tuple place =
            py::make_tuple(key_tuple(pane.key), pane.window.start, pane.window.end, pane.position);
        const std::uint64_t size = count(state);
        const py::object result = size > limit() ? calls_->too_many(place, size) : called(state, place);
        results[0].append(result_value_of(result, calls_->plain));
    }

private:
    [[nodiscard]] py::object called(const std::byte* state, const py::tuple& place) const {
        const std::vector<Record> all = records(state);
        py::list times;
        py::list columns;
        for (const Record& record : all) {
            times.append(record.time);
        }
        for (std::size_t label = 0; label < labels(); ++label) {
            py::list column;
            for (const Record& record : all) {
                column.append(key_tuple(record.labels[label])[0]);
            }
            columns.append(std::move(column));
        }
        return calls_->call(place, times, columns);
    }

    std::shared_ptr<const FunctionCalls> calls_;
    std::string name_;
};

}  // namespace

MetricFactory user_function_of(const py::dict& settings) {
    const std::shared_ptr<const FunctionCalls> calls =
        share_python(new FunctionCalls(py::object(settings["calls"])));
    return
        [calls, labels = setting<std::vector<std::size_t>>(settings, "labels"),
         limit = setting<std::uint64_t>(settings, "limit"),
         name = setting<std::vector<std::string>>(settings, "results").at(0)](const std::vector<FieldType>&) {
            return std::make_shared<const UserFunction>(calls, labels, limit, name);
        };
}

}  // namespace llmopt_stream::bindings
