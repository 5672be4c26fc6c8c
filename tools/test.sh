#!/usr/bin/env bash
# Every check of the project in stages, each with its time. A failing check does not hide the
# next one; without a build there is nothing to check.
set -uo pipefail
cd "$(dirname "$0")/.."

make=${MAKE:-make}
failed=()
began=$SECONDS

stage() {
    local name=$1 start=$SECONDS
    shift
    echo "==> $name"
    if "$make" --no-print-directory "$@"; then
        echo "==> $name $((SECONDS - start)) s"
    else
        echo "==> $name FAILED after $((SECONDS - start)) s"
        failed+=("$name")
        return 1
    fi
}

rm -f build/reports/*.xml
stage "set-up" setup || exit 1
stage "release build" build || exit 1
stage "C++ tests (address and undefined-behaviour sanitizers, coverage)" test-cpp
stage "Python tests (release build)" test-python
stage "fuzzing (a short seeded run)" fuzz FUZZ_RUNS=20000
stage "quick lint" lint-quick

echo "==> total $((SECONDS - began)) s"
if ((${#failed[@]} > 0)); then
    printf '==> failed: %s\n' "${failed[@]}"
fi
.venv/bin/python tools/count_tests.py build/reports/cpp.xml build/reports/python.xml || exit 1
((${#failed[@]} == 0))
