#!/usr/bin/env bash
# Makes or refreshes .venv in the checkout: the package, editable, with the versions in constraints.txt.
#
#   scripts/setup_env.sh [EXTRAS]      EXTRAS as in pip's brackets, such as dev or mujoco,box2d
#
# PYTHON names the interpreter for a new environment. An environment that is up to date is left as it is, offline too.
set -euo pipefail
cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." >/dev/null

extras=${1:-}
venv_python=.venv/bin/python
export PIP_DISABLE_PIP_VERSION_CHECK=1

die() {
    echo "setup_env.sh: $*" >&2
    exit 1
}

is_new_enough() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; }
can_make_venv() { "$1" -c 'import ensurepip, venv' 2>/dev/null; }

find_python() {
    local candidate found=
    if [ -n "${PYTHON:-}" ]; then
        command -v -- "$PYTHON" >/dev/null || die "PYTHON=$PYTHON is not a program"
        is_new_enough "$PYTHON" || die "PYTHON=$PYTHON does not run Python 3.11 or newer"
        can_make_venv "$PYTHON" || die "$PYTHON has no venv module (on Debian and Ubuntu: apt install python3-venv)"
        echo "$PYTHON"
        return
    fi
    for candidate in python3.11 python3.12 python3.13 python3 python; do
        is_new_enough "$candidate" || continue
        found=$candidate
        can_make_venv "$candidate" || continue
        echo "$candidate"
        return
    done
    [ -z "$found" ] || die "$found has no venv module (on Debian and Ubuntu: apt install python3-venv)"
    die "no Python 3.11 or newer was found; set PYTHON to one"
}

make_venv() {
    if "$venv_python" -m pip --version >/dev/null 2>&1; then
        is_new_enough "$venv_python" || die ".venv holds $("$venv_python" --version); remove it and run this again"
        return
    fi
    local python
    python=$(find_python)
    echo "Making .venv with $("$python" --version)"
    "$python" -m venv --clear .venv
}

has_nvidia_gpu() { [ -e /dev/nvidia0 ] || nvidia-smi >/dev/null 2>&1; }

# On Linux, PyPI's torch brings several gigabytes of CUDA libraries that are of no use without a GPU.
install_cpu_torch() {
    local pin
    pin=$(sed -n 's/^torch==//p' constraints.txt)
    if [ "$(uname -s)" != Linux ] || has_nvidia_gpu; then return; fi
    if "$venv_python" -c "import torch, sys; sys.exit(torch.__version__.split('+')[0] != '$pin')" 2>/dev/null; then return; fi
    "$venv_python" -m pip install -qq --retries 0 --timeout 10 --no-deps \
        --index-url https://download.pytorch.org/whl/cpu "torch==$pin" 2>/dev/null ||
        echo "PyTorch's CPU index did not answer: torch comes from the default index"
}

# The path counts: an editable install points at the checkout.
fingerprint=$({ pwd; cat setup.cfg pyproject.toml constraints.txt; } | cksum)
stamp=.venv/.installed-${extras:-core}
up_to_date() { [ -x "$venv_python" ] && [ "$(cat "$1" 2>/dev/null)" = "$fingerprint" ]; }
if up_to_date "$stamp" || { [ -z "$extras" ] && up_to_date .venv/.installed-dev; }; then exit; fi

make_venv
echo "Installing rl_experiments${extras:+[$extras]} into .venv (minutes, the first time)"
install_cpu_torch
"$venv_python" -m pip install -qq --constraint constraints.txt --editable ".${extras:+[$extras]}"
echo "$fingerprint" >"$stamp"
