from __future__ import annotations

import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

pytestmark = [pytest.mark.packaging, pytest.mark.timeout(900)]


def run(*command: str | Path) -> str:
    finished = subprocess.run(command, check=False, capture_output=True, text=True)
    assert finished.returncode == 0, finished.stdout + finished.stderr
    return finished.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    # The build tools of this environment are used, so that no network is needed, and the flags of
    # `make build`, so that the compiler cache has the objects.
    run(
        *(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-build-isolation", "--no-deps"),
        "--config-settings=cmake.define.LLMOPT_STREAM_WERROR=ON",
        *(f"--config-settings=build-dir={folder / 'build'}", "--wheel-dir", folder, ROOT),
    )
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def clean_python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of an environment that holds the package and nothing else."""
    folder = tmp_path_factory.mktemp("clean")
    venv.create(folder, with_pip=False)
    python = folder / "bin" / "python"
    # Without an index, a runtime dependency could not be installed.
    run(sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-index", wheel)
    return python


def test_package_imports_where_nothing_else_is_installed(clean_python: Path) -> None:
    listed = "import importlib.metadata as m; print(sorted(d.name for d in m.distributions()))"
    assert run(clean_python, "-I", "-c", listed).strip() == "['llmopt-stream']"
    module = "import llmopt_stream, llmopt_stream._core as core; print(core.__file__)"
    imported = run(clean_python, "-I", "-c", module)
    assert str(clean_python.parents[1]) in imported


def test_command_line_shows_its_help_where_nothing_else_is_installed(clean_python: Path) -> None:
    assert "llmopt-stream" in run(clean_python.with_name("llmopt-stream"), "--help")


def test_benchmark_runs_where_nothing_else_is_installed(clean_python: Path) -> None:
    printed = run(clean_python.with_name("llmopt-stream"), "bench", "--rows", "500", "--rounds", "1")
    ndjson = printed.partition("\ntumbling-ndjson: ")[2]
    assert ndjson.splitlines()[1].startswith("  llmopt_stream   ")
    assert "\n  duckdb        duckdb is missing\n" in ndjson


def test_wheel_ships_types_and_licence_and_no_tests(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert "llmopt_stream/py.typed" in names
    assert "llmopt_stream/_core.pyi" in names
    assert "llmopt_stream/conformance/triggers.json" in names
    assert "llmopt_stream/conformance/session.oracle.json" in names
    assert any(name.endswith("licenses/LICENSE") for name in names)
    top = {name.partition("/")[0] for name in names}
    assert top == {"llmopt_stream", wheel.name.partition("-cp")[0] + ".dist-info"}
    assert not any(name.endswith((".a", ".hpp", ".cpp")) for name in names)


def test_extension_module_is_hardened(wheel: Path, tmp_path: Path) -> None:
    archive = zipfile.ZipFile(wheel)
    (module,) = (name for name in archive.namelist() if name.endswith(".so"))
    headers = run("readelf", "--wide", "--program-headers", "--dynamic", archive.extract(module, tmp_path))
    assert "GNU_RELRO" in headers
    assert "BIND_NOW" in headers or "NOW" in headers
    (stack,) = (line.split() for line in headers.splitlines() if "GNU_STACK" in line)
    assert "RWE" not in stack


@pytest.mark.parametrize(
    ("switch", "library"),
    [
        ("-DCMAKE_DISABLE_FIND_PACKAGE_simdjson=ON", "libsimdjson-dev"),
        ("-DCMAKE_DISABLE_FIND_PACKAGE_PkgConfig=ON", "pkg-config"),
        ("-DCMAKE_DISABLE_FIND_PACKAGE_GTest=ON", "libgtest-dev"),
    ],
)
def test_missing_library_names_the_way_to_install_it(switch: str, library: str, tmp_path: Path) -> None:
    options = ["-G", "Ninja", "-DLLMOPT_STREAM_PYTHON=OFF", "-DLLMOPT_STREAM_TESTS=ON", switch]
    finished = subprocess.run(
        ["cmake", "-S", ROOT, "-B", tmp_path, *options], check=False, capture_output=True, text=True
    )
    assert finished.returncode != 0
    assert "make deps" in finished.stderr
    assert library in finished.stderr
