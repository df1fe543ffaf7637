#!/usr/bin/env bash
# All that a machine with an NVIDIA GPU can show, in 540 s at most (LIMIT): build, the tests of the device, the suite's with
# models on it, compute-sanitizer over steps and a kernel of each kind, the benchmark: first what has a target. Run it in a
# checkout.
#
# It fetches nothing, so these have to be there: nvidia-smi, nvcc 12.4 or newer (on PATH or as CUDACXX), compute-sanitizer,
# g++ 12 or newer (on PATH, or another compiler as CXX that links the shared C++ library: with a copy of its own in the module,
# beside NumPy's, iostreams have crashed), and Python (PYTHON) with pip, scikit-build-core, pybind11, cmake, ninja, numpy,
# tqdm, safetensors, pytest and hypothesis; for rivals also CUDA builds of torch and jax, and the nvidia-cublas that comes
# with them for large products. pytest-xdist and pytest-timeout are used where they are. ARCHITECTURE (90 for an H100) is
# asked of nvidia-smi where it is not given.
#
# PARTS="targets sanitizers" runs those parts alone (of device, suite, epilogues, sanitizers, panels, targets, bench), with
# what an earlier run has built (in INSTALLED, by default OUT/installed) if it was built from the same files for the same
# GPU; else it builds first.
#
# Logs and records go to the folder OUT (default: gpu_session). Ends with a summary; its status is 0 if all parts passed,
# 1 if one failed, 3 if none failed but one had too little time, 2 if it could not begin.
set -uo pipefail

stop() {
    echo "gpu_session: $*" >&2
    exit 2
}

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
python=${PYTHON:-python3}
if [[ $python == */* ]]; then python=$(cd "$(dirname "$python")" && pwd)/${python##*/}; fi # before the folder changes
command -v "$python" >/dev/null || stop "PYTHON expects a Python, got ${PYTHON:-python3}"
architecture=${ARCHITECTURE:-$(nvidia-smi --query-gpu=compute_cap --format=csv,noheader 2>/dev/null | head -n 1 | tr -d '. ')}
[[ $architecture =~ ^[0-9]+ ]] || stop "nvidia-smi names no GPU to build for; ARCHITECTURE=90 would be an H100's"
out=$(mkdir -p "${OUT:-gpu_session}" && cd "${OUT:-gpu_session}" && pwd) || stop "OUT expects a folder, got ${OUT:-gpu_session}"
installed=$(mkdir -p "${INSTALLED:-$out/installed}" && cd "${INSTALLED:-$out/installed}" && pwd) ||
    stop "INSTALLED expects a folder, got ${INSTALLED:-$out/installed}"
workers=$(($(nproc) > 10 ? 10 : $(nproc)))
failed=() unfinished=()
cd "$root" || exit 2
export PYTHONPATH=$installed CXX=${CXX:-g++}

# Seconds of each part, and 5 for one that does not end when it is told to. The sanitizers run side by side; the rows with
# a target have what the others leave of `end`, at least what stands here, and the rest of the benchmark what those leave.
declare -A seconds=([build]=130 [info]=15 [device]=60 [suite]=75 [epilogues]=25 [memcheck]=70 [racecheck]=70 [initcheck]=70
    [panels]=20 [targets]=90 [bench]=10)
end=${LIMIT:-540}

tools=(memcheck racecheck initcheck)
declare -A chosen=()
for name in ${PARTS:-device suite epilogues sanitizers panels targets bench}; do
    case $name in
    sanitizers) for tool in "${tools[@]}"; do chosen[$tool]=1; done ;;
    build | info | device | suite | epilogues | memcheck | racecheck | initcheck | panels | targets | bench) chosen[$name]=1 ;;
    *) stop "PARTS expects some of build, info, device, suite, epilogues, sanitizers, ${tools[*]}, panels, targets, bench; got $name" ;;
    esac
done
wanted() { [[ -n ${chosen[$1]:-} ]]; }

part() { # NAME COMMAND...: its output in NAME.log, how it ended in NAME.status
    local name=$1 from=$SECONDS limit=${seconds[$1]} left=$((end - SECONDS - 5)) status=0 how=passed
    shift
    if [[ $name == bench || $name == targets ]] || ((limit > left)); then limit=$left; fi
    if ((limit > 0)); then
        # an interrupt, which what runs in the background would not see: pytest then shows what has failed so far
        timeout --signal=INT --kill-after=5 "$limit" env --default-signal=INT "$@" >"$out/$name.log" 2>&1 || status=$?
    else
        echo "no time was left" >"$out/$name.log"
        status=124
    fi
    if ((status == 124 || (status == 137 && SECONDS - from >= limit))); then
        how="timed out"
    elif ((status != 0)); then
        how="failed with $status"
    fi
    echo "$name: $((SECONDS - from)) s, $how" >"$out/$name.status"
}

report() { # NAME...: of parts that have ended
    local name found
    for name; do
        echo "== $(<"$out/$name.status")"
        found=$(grep -aE '^(FAILED|ERROR) |^========= (Invalid|Error|Race|Uninit|.* SUMMARY: [1-9])' "$out/$name.log" |
            cut -c 1-160 | sort | uniq -c | sort -rn | head -n 12)
        if [[ -n $found ]]; then echo "$found"; fi
        { grep -a '^ended: ' "$out/$name.log" | tail -n 1 && tail -n 1 "$out/$name.log" || tail -n 2 "$out/$name.log"; } |
            sed 's/^/   /'
        case "$(<"$out/$name.status")" in
        *passed) ;;
        *"timed out") if [[ -n $found ]]; then failed+=("$name"); else unfinished+=("$name"); fi ;;
        *) failed+=("$name") ;;
        esac
    done
}

ready() { # NAME: nothing else could be believed without it
    report "$1"
    if ((${#failed[@]} + ${#unfinished[@]} > 0)); then
        cat "$out/$1.log"
        exit $((${#failed[@]} > 0 ? 1 : 3))
    fi
}

has() { "$python" -c "import $1" 2>/dev/null; }

# pytest-benchmark's warning about xdist would be an error here. A test that hangs in the compiled code sees no signal.
tests=("$python" -m pytest -q -p no:cacheprovider -p no:benchmark --tb=short --durations=8 -o faulthandler_timeout=25)
parallel=()
if has pytest_timeout; then parallel+=(--timeout 30 --timeout-method thread); fi
if has xdist; then parallel+=(-n "$workers"); fi

build() {
    rm -rf "$installed"/{made_of,fusednet,fusednet-*.dist-info} # pip would leave what it finds there
    part build "$python" -m pip install --no-build-isolation --no-deps --target "$installed" . \
        -C cmake.define.FUSEDNET_CUDA=ON -C cmake.define.CMAKE_CUDA_ARCHITECTURES="$architecture"
    ready build
    echo "$made_of" >"$installed/made_of"
}

# All files that a build is made from, and for what: a commit's name would not tell what is not committed.
made_of=$(echo "$architecture $CXX $("$python" -V 2>&1)" &&
    find CMakeLists.txt pyproject.toml csrc python benchmarks -type f ! -path '*/__pycache__/*' ! -name '*.so' \
        ! -path 'benchmarks/results/*' -print0 | LC_ALL=C sort -z | xargs -0 sha256sum | sha256sum)
if [[ -z ${PARTS:-} ]] || wanted build || [[ $(cat "$installed/made_of" 2>/dev/null) != "$made_of" ]]; then
    build
else
    echo "== build: kept, of the same files"
fi
part info "$python" -c 'import sys
import fusednet
config = fusednet.show_config()
print(config)
sys.exit(None if config.cuda["available"] else "CUDA cannot be used: " + config.cuda["reason"])'
ready info
if grep -aq "our own kernels" "$out/info.log"; then # rows of large products would time those, and the targets are the library's
    echo "== cuBLASLt is NOT used: $(grep -a "our own kernels" "$out/info.log" | head -n 1)"
    failed+=(cublaslt)
fi
if wanted device; then
    part device "${tests[@]}" "${parallel[@]}" tests/test_device*.py tests/test_cuda_info.py
    report device
fi
if wanted suite; then
    mapfile -t files <tests/on_devices.txt
    FUSEDNET_DEVICE=cuda part suite "${tests[@]}" "${parallel[@]}" -m "not slow" "${files[@]}"
    report suite
fi
# Layers with large products once more, with what cuBLASLt's epilogues could do and do not without being asked.
if wanted epilogues; then
    part epilogues bash -c 'status=0
for names in sums "relu sums"; do
    echo "FUSEDNET_CUBLASLT_EPILOGUES=\"$names\""
    FUSEDNET_CUBLASLT_EPILOGUES=$names "$@" || status=1
done
exit $status' epilogues "${tests[@]}" tests/test_device_large.py
    report epilogues
fi
sanitizers=()
for tool in "${tools[@]}"; do
    if wanted "$tool"; then
        sanitizers+=("$tool")
        part "$tool" compute-sanitizer --tool "$tool" --target-processes all --error-exitcode 9 \
            "$python" tests/sanitized.py &
    fi
done
wait
report "${sanitizers[@]}"

bench() { # NAME ARGUMENT...
    part "$1" env JAX_PLATFORMS=cuda,cpu "$python" -m fusednet bench device --rounds 2 --json "$out/$1.json" "${@:2}"
    cat "$out/$1.log"
    report "$1"
}

# BatchNorm by panels of columns; as it is without being asked, and beside copies, it is among the targets.
if wanted panels; then FUSEDNET_PANELS=1 bench panels --only "BatchNorm + ELU" --rivals ""; fi
if wanted targets; then bench targets --targets only --rivals torch; fi
if wanted bench; then bench bench --targets last --rivals torch,jax; fi
echo "== in $SECONDS s; failed: ${failed[*]:-none}; without time enough: ${unfinished[*]:-none}"
if ((${#failed[@]} > 0)); then exit 1; fi
if ((${#unfinished[@]} > 0)); then exit 3; fi
