#!/usr/bin/env bash
# Check labelaudit on a GPU machine without network, in eight minutes: the GPU tests, its speed, and an audit.
#
#   OUT=results tests/benchmarks/gpu.sh CIFAR10
#   OUT=results DEVICE=cpu PHOTOGRAPHS=100 tests/benchmarks/gpu.sh digits/images    # a dry run
#
# CIFAR10 holds one folder of rightly labeled images per class; without it only the tests are run.
# Everything is written under $OUT (default: the current folder); figures.json has all figures.
set -u
root=$(cd "$(dirname "$0")/../.." && pwd)
out=${OUT:-.} data=${1:-} device=${DEVICE:-cuda} failed=0
mkdir -p "$out" || exit 2
out=$(cd "$out" && pwd)
export PYTHONPATH="$root${PYTHONPATH:+:$PYTHONPATH}" LABELAUDIT_CACHE="${LABELAUDIT_CACHE:-$out/cache}" HF_HUB_OFFLINE=1

step() { # NAME SECONDS COMMAND…: run, keep the output, go on after a failure; nothing begins after eight minutes
    local name=$1 most=$2
    shift 2
    if [ $SECONDS -gt 480 ]; then
        echo "== $name: left out, the time is up"
        return
    fi
    echo "== $name (after $SECONDS s): $*"
    if timeout "$most" "$@" >"$out/$name.txt" 2>"$out/$name.log"; then tail -n 40 "$out/$name.txt"; else
        echo "$name failed: exit code $?"
        tail -n 20 "$out/$name.txt" "$out/$name.log"
        failed=1
    fi
}

speed() { # NAME SECONDS ARGUMENTS…: run a benchmark that writes NAME.json
    local name=$1 most=$2
    shift 2
    step "$name" "$most" python "$root/tests/benchmarks/speed.py" --json "$out/$name.json" "$@" --device "$device"
}

if [ "$device" = cuda ] && ! python -c 'import torch; print(torch.cuda.get_device_name())' 2>/dev/null; then
    echo "There is no GPU here that torch can use: nothing is measured"
    exit 0
fi
step tests 150 python -m pytest -m gpu -q -p no:cacheprovider "$root/tests"
if [ -n "$data" ]; then
    speed loop 60 loop "$data" --epochs-a-turn 3 --no-ordinary
    python "$root/tests/benchmarks/make_data.py" photographs "$out/photographs" --count "${PHOTOGRAPHS:-3000}"
    speed embed 60 embed "$out/photographs" --rounds 3
    for time in first second; do # the first pays for loading the GPU's libraries
        speed "audit-$time" 90 audit "$data" --out "$out" --rate 0.4 --epochs-cv ""
    done
    speed audit-deterministic 90 audit "$data" --out "$out" --rate 0.4 --epochs-cv "" --deterministic
    speed audit-paper 90 audit "$data" --out "$out" --rate 0.4 --epochs-cv "" --preset paper --epochs 3  # of 150
    step detection 120 python -m labelaudit reproduce detection --data "$data" --out "$out/detection" \
        --device "$device" --noise uniform:0.4 --noise pair-flip:0.2 --offline --no-progress
    step report 30 python -m labelaudit report "$out/detection/uniform-0.4-seed0/run" --html "$out/report.html"
fi
python - "$out" <<'END'
import json, pathlib, sys
out = pathlib.Path(sys.argv[1])
found = {file.stem: json.loads(file.read_text()) for file in sorted(out.glob("*.json")) if file.stem != "figures"}
(out / "figures.json").write_text(json.dumps(found, indent=2))
for name, figures in found.items():
    for row in figures["rows"]:
        print(f"{name} | {row['name']} | {row['value']:.4g} {row['unit']}")
END
exit $failed
