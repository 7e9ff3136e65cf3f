#!/usr/bin/env bash
# Check labelaudit on a GPU machine without network: the GPU tests, two benchmarks, and an audit with its figures.
#
#   OUT=results tests/benchmarks/gpu.sh CIFAR10
#
# CIFAR10 holds one folder of rightly labeled images per class; without it only the tests are run.
# Everything is written under $OUT (default: the current folder). Without a GPU, says so and measures nothing.
set -u
root=$(cd "$(dirname "$0")/../.." && pwd)
out=${OUT:-.}
data=${1:-}
mkdir -p "$out" || exit 2
out=$(cd "$out" && pwd)
export PYTHONPATH="$root${PYTHONPATH:+:$PYTHONPATH}" LABELAUDIT_CACHE="${LABELAUDIT_CACHE:-$out/cache}" HF_HUB_OFFLINE=1
failed=0

step() { # NAME COMMAND…: run, keep the output, go on after a failure
    local name=$1
    shift
    echo "== $name: $*"
    if "$@" >"$out/$name.txt" 2>"$out/$name.log"; then tail -n 30 "$out/$name.txt"; else
        echo "$name failed: exit code $?"
        tail -n 20 "$out/$name.txt" "$out/$name.log"
        failed=1
    fi
}

if ! gpu=$(python -c 'import torch; print(torch.cuda.get_device_name())' 2>/dev/null); then
    echo "There is no GPU here that torch can use: nothing is measured"
    exit 0
fi
echo "$gpu" | tee "$out/gpu.txt"
step tests python -m pytest -m gpu -q -p no:cacheprovider "$root/tests"
if [ -n "$data" ]; then
    step loop python "$root/tests/benchmarks/speed.py" --json "$out/loop.json" loop "$data" --device cuda \
        --epochs-a-turn 3 --no-ordinary
    for time in first second; do # the first pays for loading the GPU's libraries
        step "$time" python "$root/tests/benchmarks/speed.py" --json "$out/$time.json" audit "$data" --out "$out" \
            --device cuda --epochs-cv ""
    done
    step audit python -m labelaudit score "$data" --run "$out/audit" --device cuda --offline --no-progress
    step report python -m labelaudit report "$out/audit" --html "$out/report.html"
    step detection python -m labelaudit reproduce detection --data "$data" --out "$out/detection" --device cuda \
        --noise uniform:0.2 --noise uniform:0.4 --noise pair-flip:0.2 --offline --no-progress
fi
exit $failed
