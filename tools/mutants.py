"""Plant faults in the core, one at a time, and see that the conformance suite catches each.

Each fault of mutants.toml is planted in a copy of the sources, which is built and asked for
`llmopt_stream conformance`. It fails where a fault survives, where one cannot be planted because a text to
replace is not there exactly once, and where the sources as they are do not conform.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
MUTANTS = Path(__file__).with_name("mutants.toml")
FOLDER = ROOT / "build" / "mutants"
COPY = FOLDER / "source"
BUILD = FOLDER / "build"

SECONDS_TO_ANSWER = 30


@dataclass(frozen=True, slots=True)
class Edit:
    """One text that another takes the place of."""

    file: str
    old: str
    new: str


@dataclass(frozen=True, slots=True)
class Mutant:
    """A fault: texts of the core, each there exactly once, and what takes their place."""

    name: str
    fault: str
    edits: tuple[Edit, ...]

    def not_planted(self, root: Path = ROOT) -> list[str]:
        """Why it cannot be planted; nothing if it can."""
        found = []
        for edit in self.edits:
            times = (root / edit.file).read_text(encoding="utf-8").count(edit.old)
            if times != 1:
                found.append(f"{self.name}: {edit.file} has {times} times, not once: {edit.old!r}")
        return found

    def plant(self, root: Path) -> None:
        for edit in self.edits:
            path = root / edit.file
            path.write_text(path.read_text(encoding="utf-8").replace(edit.old, edit.new), encoding="utf-8")


def load_mutants() -> list[Mutant]:
    described = tomllib.loads(MUTANTS.read_text(encoding="utf-8"))["mutant"]
    return [
        Mutant(each["name"], each["fault"], tuple(Edit(**edit) for edit in each["edit"]))
        for each in described
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--list", action="store_true", help="show the faults and plant none")
    parser.add_argument("--only", metavar="NAME", action="append", help="plant this one; may be repeated")
    options = parser.parse_args()
    mutants = [mutant for mutant in load_mutants() if not options.only or mutant.name in options.only]
    if unknown := set(options.only or ()) - {mutant.name for mutant in mutants}:
        parser.error(f"--only: no mutant is called {', '.join(sorted(unknown))}; --list shows them")
    if options.list:
        for mutant in mutants:
            print(f"{mutant.name:<40}{mutant.fault}")
        return 0
    impossible = [why for mutant in mutants for why in mutant.not_planted()]
    if impossible:
        print(*impossible, sep="\n")
        return 1
    return plant_each(mutants)


def plant_each(mutants: list[Mutant]) -> int:
    copy_sources()
    configure()
    print("building the sources as they are", flush=True)
    if (failed := failed_cases()) is None or failed:
        print(f"the sources as they are do not conform: {failed}")
        return 1
    survivors = []
    print(f"{'fault':<40}{'caught by':>10}  first of them", flush=True)
    for mutant in mutants:
        mutant.plant(COPY)
        failed = failed_cases()
        copy_sources()
        if not failed:
            survivors.append(mutant.name)
        count, first = ("0", "SURVIVED") if not failed else (str(len(failed)), failed[0])
        print(f"{mutant.name:<40}{count:>10}  {first}", flush=True)
    print(f"{len(mutants) - len(survivors)} of {len(mutants)} faults are caught")
    return int(bool(survivors))


def copy_sources() -> None:
    """Brings the copy in line with the tree; files that are alike keep their times."""
    wanted = {ROOT / "CMakeLists.txt"}
    for folder in ("cpp", "python"):
        wanted |= {path for path in (ROOT / folder).rglob("*") if path.suffix not in (".so", ".pyc")}
    for path in sorted(wanted):
        copy = COPY / path.relative_to(ROOT)
        if path.is_dir():
            copy.mkdir(parents=True, exist_ok=True)
        elif not copy.is_file() or copy.read_bytes() != path.read_bytes():
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(path.read_bytes())
    for copy in COPY.rglob("*.*"):
        if copy.suffix in (".cpp", ".hpp", ".py", ".json") and ROOT / copy.relative_to(COPY) not in wanted:
            copy.unlink()


def configure() -> None:
    # Unoptimised, because building takes longer than answering.
    run(
        "cmake", "-S", COPY, "-B", BUILD, "-G", "Ninja", "--log-level=WARNING",
        "-DCMAKE_BUILD_TYPE=Debug", "-DCMAKE_CXX_FLAGS_DEBUG=-O0",
        f"-DPython_EXECUTABLE={sys.executable}",
        f"-DCMAKE_LIBRARY_OUTPUT_DIRECTORY={COPY / 'python' / 'llmopt_stream'}",
    )  # fmt: skip


def failed_cases() -> list[str] | None:
    """Builds the copy and returns the cases that it fails, or what kept it from answering."""
    jobs = os.environ.get("CMAKE_BUILD_PARALLEL_LEVEL", str(os.cpu_count()))
    run("ninja", "-C", BUILD, "-j", jobs, "_core", quiet=True)
    # Without site packages: an editable install there would take the place of the copy.
    command = [sys.executable, "-S", "-m", "llmopt_stream", "conformance", "--json"]
    environment = os.environ | {"PYTHONPATH": str(COPY / "python")}
    try:
        done = subprocess.run(
            command, env=environment, check=False, capture_output=True, text=True, timeout=SECONDS_TO_ANSWER
        )
    except subprocess.TimeoutExpired:
        return [f"(no answer within {SECONDS_TO_ANSWER} s)"]
    try:
        cases = json.loads(done.stdout)["cases"]
    except ValueError:
        return [f"(no answer: exit code {done.returncode})"]
    return [f"{case['group']}: {case['name']}" for case in cases if not case["passed"]]


def run(*command: str | Path, quiet: bool = False) -> None:
    done = subprocess.run(command, check=False, capture_output=quiet, text=True)
    if done.returncode != 0:
        sys.exit(f"{done.stdout or ''}{' '.join(map(str, command))}: exit code {done.returncode}")


if __name__ == "__main__":
    sys.exit(main())
