#!/usr/bin/env bash
# Installs the system packages that building and testing need. Silent and quick when all are there.
set -euo pipefail

python=${PYTHON:-python3}
packages=(g++ cmake ninja-build ccache pkg-config libsimdjson-dev libeigen3-dev libxxhash-dev zlib1g-dev libzstd-dev
    librocksdb-dev librdkafka-dev libgtest-dev)

# `install_deps.sh bench` adds what the micro-benchmarks need.
[[ ${1:-} != bench ]] || packages+=(libbenchmark-dev)

# `install_deps.sh kafka` adds what the tests' broker needs, unless it is there from elsewhere.
if [[ ${1:-} == kafka ]]; then
    command -v java >/dev/null || packages+=(default-jre-headless)
    command -v mvn >/dev/null || packages+=(maven)
fi

# `install_deps.sh fuzz` adds a clang with libFuzzer, the newest that the system has.
if [[ ${1:-} == fuzz ]]; then
    for version in 19 18 16; do
        if apt-cache show "clang-$version" "libclang-rt-$version-dev" >/dev/null 2>&1; then
            packages+=("clang-$version" "libclang-rt-$version-dev")
            break
        fi
    done
fi

fail() {
    echo "make deps: $*" >&2
    exit 1
}

command -v "$python" >/dev/null || fail "no $python found; install Python >= 3.11 or name one: make PYTHON=/path/to/python3"
version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
    fail "Python >= 3.11 is needed, $python is $version; name another: make PYTHON=/path/to/python3"

# A distribution's Python comes without venv and headers; one built from source has both.
python_is_complete() {
    "$python" -c 'import ensurepip, os, sysconfig, venv
assert os.path.exists(os.path.join(sysconfig.get_path("include"), "Python.h"))' 2>/dev/null
}
python_is_complete || packages+=("python$version-venv" "python$version-dev")

if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
    echo "make deps: no apt here, expecting the equivalents of: ${packages[*]}"
    exit 0
fi

missing=()
for package in "${packages[@]}"; do
    [[ $(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null) == installed ]] || missing+=("$package")
done
if ((${#missing[@]} > 0)); then
    as_root=()
    if ((EUID != 0)); then
        command -v sudo >/dev/null || fail "run as root: apt-get install ${missing[*]}"
        as_root=(sudo)
        # Without a terminal nobody can type a password: fail at once instead of waiting.
        [[ -t 0 ]] || sudo -n true 2>/dev/null || fail "sudo wants a password; run: sudo apt-get install ${missing[*]}"
    fi
    apt() {
        "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
            apt-get -o Acquire::Retries=3 -o DPkg::Lock::Timeout=300 -qq "$@"
    }
    echo "==> installing system packages: ${missing[*]}"
    for attempt in 1 2 3; do
        if apt update && apt install -y --no-install-recommends "${missing[@]}" >/dev/null; then
            break
        fi
        ((attempt < 3)) || fail "apt-get could not install: ${missing[*]}"
        echo "make deps: apt-get failed, trying again" >&2
        sleep $((attempt * 5))
    done
fi

python_is_complete || fail "$python lacks venv, ensurepip or its headers; name another: make PYTHON=/path/to/python3"
