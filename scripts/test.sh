#!/usr/bin/env bash
# Checks everything: style, types, tests. Runs every stage, and fails if any of them does.
#
#   scripts/test.sh                    all stages; tests marked slow are left out
#   scripts/test.sh --all              all stages, slow tests included
#   scripts/test.sh --cov              all stages, and which lines the tests reach: half as much time again
#   scripts/test.sh --lint-only        style and types alone
#   scripts/test.sh [--all] ARGS...    pytest alone, with these arguments, in one process:
#                                      scripts/test.sh tests/core -k yaml --pdb
set -euo pipefail
cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." >/dev/null

python=.venv/bin/python
lint_only=
coverage=()
selection=(-m 'not slow')
while [ $# -gt 0 ]; do
    case $1 in
        --all) selection=() ;;
        --cov) coverage=(--cov=rl_experiments --cov-report=term) ;;
        --lint-only) lint_only=1 ;;
        *) break ;;
    esac
    shift
done

# Tests that need a missing package skip themselves, so failing to install one is no failure here.
install_debian_packages() {
    local package missing=()
    command -v apt-get >/dev/null && [ "$(id -u)" = 0 ] || return 0
    while read -r package; do
        dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing+=("$package")
    done < <(grep -v '^#' scripts/apt.txt)
    [ ${#missing[@]} -gt 0 ] || return 0
    echo "Installing ${missing[*]}"
    local options=(-qq -o Acquire::Retries=1 -o Acquire::http::Timeout=20)
    { apt-get "${options[@]}" update && DEBIAN_FRONTEND=noninteractive apt-get "${options[@]}" install \
        --yes --no-install-recommends "${missing[@]}"; } >/dev/null ||
        echo "test.sh: warning: could not install ${missing[*]}" >&2
}

failed=()
stage() {
    local name=$1
    shift
    printf '\n== %s\n' "$name"
    "$@" || failed+=("$name")
}

bash scripts/setup_env.sh dev
# Tests run side by side; more threads in each would only wait for one another.
export OMP_NUM_THREADS=1

if [ $# -eq 0 ]; then
    stage 'ruff check' "$python" -m ruff check .
    stage 'ruff format' "$python" -m ruff format --check .
    stage mypy "$python" -m mypy
fi
if [ -z "$lint_only" ]; then
    install_debian_packages
    if [ $# -eq 0 ]; then
        set -- -n auto --maxprocesses 8 --dist worksteal ${coverage[@]+"${coverage[@]}"}
    fi
    stage pytest "$python" -m pytest ${selection[@]+"${selection[@]}"} "$@"
fi

if [ ${#failed[@]} -gt 0 ]; then
    printf '\nFAILED:'
    printf ' [%s]' "${failed[@]}"
    echo
    exit 1
fi
printf '\nAll stages passed.\n'
