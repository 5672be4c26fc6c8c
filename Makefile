# Two commands from a fresh clone: `make demo` and `make test`. Each installs what it needs.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c

PYTHON ?= python3
JOBS ?= $(shell nproc)

VENV := .venv
BIN := $(VENV)/bin
REPORTS := build/reports
MINIMUM_LINE_COVERAGE := 80
FUZZ_RUNS ?= 1000000
BENCH_SECONDS ?= 0.1
# Of chaos: how many runs are killed at least.
KILLS ?= 300
# Of chaos and beam-diff: the (first) seed. Of beam-diff: how many cases; the pinned version of Beam.
SEED ?= 1
CASES ?= 200
BEAM_VERSION := 2.77.0
BEAM_VENV := build/beam-venv

CPP_FILES := $(shell find cpp tests/cpp $(wildcard benchmarks) -name '*.hpp' -o -name '*.cpp')
BUILD_INPUTS := $(filter cpp/%,$(CPP_FILES)) CMakeLists.txt pyproject.toml

export PYTHON
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export CMAKE_BUILD_PARALLEL_LEVEL := $(JOBS)

# Of ctest's lines: failures and the summary.
ONLY_FAILURES := grep -vE '^ +Start +[0-9]+:| Passed +[0-9.]+ sec$$'

# GCC 12's and 13's thread sanitizer cannot map its shadow under strong address randomisation.
FIXED_ADDRESSES = $$(setarch --addr-no-randomize true 2>/dev/null && echo setarch --addr-no-randomize)

# The pinned requirements of dependency groups in pyproject.toml.
group = $$($(BIN)/python -c 'import sys, tomllib; \
	groups = tomllib.load(open("pyproject.toml", "rb"))["dependency-groups"]; \
	print(*(pin for name in sys.argv[1:] for pin in groups[name]))' $(1))

.DEFAULT_GOAL := help
.PHONY: help deps setup build demo test test-cpp test-python lint lint-quick format stubs settings tsan fuzz bench bench-cpp bench-kafka mutants beam-diff chaos chaos-kafka clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

deps: ## Install the system packages (apt; with sudo when not root)
	@tools/install_deps.sh

setup: $(VENV)/.tools | deps ## Make the virtual environment with the pinned tools

build: $(VENV)/.installed | deps ## Build the core (release) and install the package into .venv

demo: build ## Run the demonstration
	@$(BIN)/llmopt-stream demo

test: ## Run every check in stages, each with its time
	+@tools/test.sh

test-cpp: | deps $(VENV)/.tools ## Run the C++ tests under sanitizers and report line coverage
	@cmake --preset asan --log-level=WARNING >/dev/null
	@cmake --build --preset asan
	@mkdir -p $(REPORTS)
	@find build/asan -name '*.gcda' -delete
	@ctest --preset asan --parallel $(JOBS) --output-junit $(CURDIR)/$(REPORTS)/cpp.xml | $(ONLY_FAILURES)
	@$(BIN)/gcovr --root . --object-directory build/asan --filter cpp/ --exclude-throw-branches --merge-lines \
		-j $(JOBS) --print-summary --txt $(REPORTS)/coverage.txt --fail-under-line $(MINIMUM_LINE_COVERAGE)

test-python: build $(VENV)/.tools ## Run the Python tests, doc tests and README blocks; starts a Kafka broker
	@mkdir -p $(REPORTS)
	@tools/install_deps.sh kafka
	@LLMOPT_STREAM_KAFKA=required $(BIN)/python -m pytest --hypothesis-profile=ci --junit-xml=$(REPORTS)/python.xml -q

lint: lint-quick ## Run every linter, clang-tidy included (slow)
	@$(BIN)/python -m pip install --quiet $(call group,tidy)
	@cmake --preset dev --log-level=WARNING >/dev/null
	@printf '%s\n' $(filter %.cpp,$(filter cpp/% tests/cpp/%,$(CPP_FILES))) | \
		xargs -P $(JOBS) -n 1 $(BIN)/clang-tidy --quiet -p build/dev

lint-quick: $(VENV)/.tools
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --quiet --check .
	@$(BIN)/mypy
	@$(BIN)/clang-format --dry-run --Werror $(CPP_FILES)

format: $(VENV)/.tools ## Lay out all sources
	@$(BIN)/ruff check --quiet --fix-only .
	@$(BIN)/ruff format --quiet .
	@$(BIN)/clang-format -i $(CPP_FILES)

stubs: build $(VENV)/.tools ## Write python/llmopt_stream/_core.pyi anew from the built module
	@$(BIN)/python tools/generate_stubs.py python/llmopt_stream/_core.pyi

settings: build ## Write the tables of docs/configuration.md anew from those of the package
	@$(BIN)/python tools/generate_configuration.py docs/configuration.md

tsan: | deps ## Run the C++ tests under the thread sanitizer
	@cmake --preset tsan --log-level=WARNING >/dev/null
	@cmake --build --preset tsan
	@$(FIXED_ADDRESSES) ctest --preset tsan --parallel $(JOBS) | $(ONLY_FAILURES)

fuzz: ## Fuzz the JSON decoder and the snapshot decoder (FUZZ_RUNS inputs each)
	@tools/install_deps.sh fuzz
	@cmake --preset fuzz --log-level=WARNING >/dev/null \
		-DCMAKE_CXX_COMPILER=$$(command -v clang++-19 clang++-18 clang++-16 | head -1)
	@cmake --build --preset fuzz
	@mkdir -p build/fuzz/corpus/json build/fuzz/corpus/snapshot
	@build/fuzz/json_decoder_fuzz -seed=1 -runs=$(FUZZ_RUNS) -max_len=4096 -verbosity=0 -print_final_stats=1 \
		build/fuzz/corpus/json tests/fuzz/corpus/json
	@build/fuzz/snapshot_fuzz -seed=1 -runs=$(FUZZ_RUNS) -max_len=64 -rss_limit_mb=1024 -verbosity=0 \
		-print_final_stats=1 build/fuzz/corpus/snapshot

bench: build $(VENV)/.tools ## Measure beside other engines and write the table of benchmarks/README.md
	@$(BIN)/python -m pip install --quiet $(call group,bench) || echo "make bench: measuring without what is missing"
	@$(BIN)/llmopt-stream bench --markdown benchmarks/README.md

bench-cpp: ## Run the micro-benchmarks of the core, each for BENCH_SECONDS
	@tools/install_deps.sh bench
	@cmake --preset bench --log-level=WARNING >/dev/null
	@cmake --build --preset bench
	@build/bench/llmopt_stream_benchmarks --benchmark_min_time=$(BENCH_SECONDS)

bench-kafka: build $(VENV)/.tools ## Measure from Kafka to Kafka beside reading alone (PEERS: the Python that has bytewax, quixstreams)
	@tools/install_deps.sh kafka
	@tools/install_deps.sh bench
	@cmake --preset bench --log-level=WARNING >/dev/null
	@cmake --build --preset bench --target kafka_read
	@trap 'tools/kafka-local stop --dir build/bench-kafka' EXIT; \
		$(BIN)/python benchmarks/python/bench_kafka.py "$$(tools/kafka-local start --dir build/bench-kafka)" \
		--floor build/bench/kafka_read $(if $(PEERS),--peers $(PEERS))

mutants: $(VENV)/.builder | deps ## Plant faults in the core, one by one; the conformance suite has to catch each
	@$(BIN)/python tools/mutants.py $(foreach name,$(ONLY),--only $(name))

beam-diff: build $(BEAM_VENV)/.installed-$(BEAM_VERSION) ## Compare panes with Apache Beam's on random streams (SEED, CASES)
	@$(BIN)/python tools/beam_diff.py $(BEAM_VENV)/bin/python --seed $(SEED) --cases $(CASES)

chaos: build $(VENV)/.tools ## Kill runs at every named step and at random, KILLS times; the results must be exact
	@LLMOPT_STREAM_CHAOS=1 $(BIN)/python -m pytest -q tests/python/test_state_faults.py
	@$(BIN)/python tools/chaos.py --kills $(KILLS) --seed $(SEED)

chaos-kafka: build $(VENV)/.tools ## The same from Kafka to Kafka, with restarts of the broker (KILLS=100)
	@tools/install_deps.sh kafka
	@$(BIN)/python tools/chaos_kafka.py --kills $(KILLS) --seed $(SEED)

clean: ## Remove the virtual environment and everything built
	rm -rf build dist $(VENV) .mypy_cache .pytest_cache .ruff_cache .hypothesis

$(VENV)/.created: | deps
	@echo "==> creating $(VENV)"
	@$(PYTHON) -m venv --clear $(VENV)
	@touch $@

$(VENV)/.builder: pyproject.toml $(VENV)/.created
	@echo "==> installing the build tools into $(VENV)"
	@$(BIN)/python -m pip install --quiet $(call group,build)
	@touch $@

$(VENV)/.tools: pyproject.toml $(VENV)/.builder
	@echo "==> installing the test and lint tools into $(VENV)"
	@$(BIN)/python -m pip install --quiet $(call group,test lint)
	@touch $@

$(VENV)/.installed: $(BUILD_INPUTS) $(VENV)/.builder
	@echo "==> building the core and installing the package into $(VENV)"
	@$(BIN)/python -m pip install --quiet --no-build-isolation --no-deps \
		--config-settings=cmake.define.LLMOPT_STREAM_WERROR=ON --editable .
	@touch $@

# Beam pins old versions of what others need, so it has an environment of its own.
$(BEAM_VENV)/.installed-$(BEAM_VERSION):
	@echo "==> creating $(BEAM_VENV) with apache-beam $(BEAM_VERSION)"
	@$(PYTHON) -m venv --clear $(BEAM_VENV)
	@$(BEAM_VENV)/bin/python -m pip install --quiet apache-beam==$(BEAM_VERSION)
	@touch $@
