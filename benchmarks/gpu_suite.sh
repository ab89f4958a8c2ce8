#!/usr/bin/env bash
# Runs the tests on a machine with a GPU, packages side by side, within a limit of time.
#
#   benchmarks/gpu_suite.sh [FOLDER [PYTEST_ARGUMENT...]]
#
# Each failure is a line on stdout when it happens. FOLDER (gpu_suite) gets PACKAGE.xml, JUnit's results, also of a
# package that ran out of time, and PACKAGE.log. Exit status: 0 if all passed in time, 1 if not.
#
#   PACKAGES       the packages, folders or files of tests/ (all of them)
#   SECONDS_LIMIT  the time for all of them, in seconds (180)
#   JOBS           how many run at once (as many as there are)
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
folder=${1:-gpu_suite}
shift $(($# > 0 ? 1 : 0))
mkdir -p "$folder"
limit=${SECONDS_LIMIT:-180}
python=${PYTHON:-python3}
if [ -n "${PACKAGES:-}" ]; then
    read -ra packages <<<"$PACKAGES"
else
    mapfile -t packages < <(cd tests && find . -mindepth 1 -maxdepth 1 \( -type d ! -name '__pycache__' -o -name 'test_*.py' \) -printf '%P\n' | sort)
fi
# Processes that share a GPU must not take all of its memory each.
export TF_FORCE_GPU_ALLOW_GROWTH=true TF_CPP_MIN_LOG_LEVEL=3 PYTHONUNBUFFERED=1
jobs_at_once=${JOBS:-${#packages[@]}}
started=$SECONDS

one() {
    local package=$1 left status
    shift
    local name=${package%.py}
    left=$((limit - (SECONDS - started)))
    if [ "$left" -le 0 ]; then
        echo "LATE   $name: not started"
        return 1
    fi
    # SIGINT ends pytest with its summary and its file of results; ten seconds later nothing more is waited for.
    timeout --signal=INT --kill-after=10 "$left" "$python" -m pytest -p benchmarks.failures -p no:cacheprovider \
        --tb=line "--junit-xml=$folder/$name.xml" "tests/$package" "$@" 2>"$folder/$name.err" \
        | tee "$folder/$name.log" | grep --line-buffered '^FAILED .*): '
    status=${PIPESTATUS[0]}
    case $status in
        0 | 5) echo "PASSED $name: $(tail -n 1 "$folder/$name.log")" ;;
        124 | 137) echo "LATE   $name: $(tail -n 1 "$folder/$name.log")" ;;
        *) echo "ENDED  $name, status $status: $(tail -n 1 "$folder/$name.log")" ;;
    esac
    [ "$status" -eq 0 ] || [ "$status" -eq 5 ]
}

failed=0
running=0
for package in "${packages[@]}"; do
    if [ "$running" -ge "$jobs_at_once" ]; then
        wait -n || failed=1
        running=$((running - 1))
    fi
    one "$package" "$@" &
    running=$((running + 1))
done
while [ "$running" -gt 0 ]; do
    wait -n || failed=1
    running=$((running - 1))
done
exit "$failed"
