#!/usr/bin/env bash
# All that a machine with an NVIDIA GPU can show, in parts whose limits add up to less than 9 minutes: build, the tests of
# the device, the suite's with models on it, compute-sanitizer over some of both, the benchmark. Run it in a checkout;
# Python (PYTHON), nvcc, CMake, Ninja, pytest and, for rivals, CUDA builds of torch and jax must be there; pytest-xdist and
# pytest-timeout are used where they are. Nothing is fetched. Logs and the record go to the folder OUT (default:
# gpu_session). Ends with a summary; its status is that of all parts. CXX has to be a compiler
# that links the shared C++ library: with a copy of its own in the module, beside NumPy's, iostreams have crashed.
set -uo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
python=${PYTHON:-python3}
out=$(mkdir -p "${OUT:-gpu_session}" && cd "${OUT:-gpu_session}" && pwd)
architecture=${ARCHITECTURE:-$(nvidia-smi --query-gpu=compute_cap --format=csv,noheader | head -1 | tr -d .)}
installed=$out/installed
workers=$(($(nproc) > 10 ? 10 : $(nproc)))
failed=()
cd "$root" || exit 1

part() { # NAME SECONDS COMMAND...: its output in NAME.log
    local name=$1 limit=$2 from=$SECONDS status=0
    shift 2
    # an interrupt, which what runs in the background would not see: pytest then shows what has failed so far
    timeout --signal=INT --kill-after=5 "$limit" env --default-signal=INT "$@" >"$out/$name.log" 2>&1 || status=$?
    echo "$name: $((SECONDS - from)) s, status $status" >"$out/$name.status"
}

report() { # NAME...: of parts that have ended
    local name
    for name; do
        echo "== $(<"$out/$name.status")"
        grep -aE '^(FAILED|ERROR) |^========= (Invalid|Error|Race|Uninit|.* SUMMARY: [1-9])' "$out/$name.log" |
            cut -c 1-160 | sort | uniq -c | sort -rn | head -n 12
        tail -n 2 "$out/$name.log" | sed 's/^/   /'
        grep -q 'status 0$' "$out/$name.status" || failed+=("$name")
    done
}

has() { "$python" -c "import $1" 2>/dev/null; }

# pytest-benchmark's warning about xdist would be an error here. A test that hangs in the compiled code sees no signal.
tests=("$python" -m pytest -q -p no:cacheprovider -p no:benchmark --tb=short --durations=8 -o faulthandler_timeout=25)
parallel=()
if has pytest_timeout; then parallel+=(--timeout 30 --timeout-method thread); fi
if has xdist; then parallel+=(-n "$workers"); fi

sanitized() { # TOOL: of what a device is asked for, the tests that ask for most of it
    part "$1" 60 env FUSEDNET_KEEP_DEVICE_MEMORY=0 \
        compute-sanitizer --tool "$1" --target-processes all --error-exitcode 9 "${tests[@]}" \
        tests/test_device.py tests/test_device_rows.py tests/test_device_programs.py tests/test_device_arrays.py \
        tests/test_device_ops.py -k "cuda and (refused_step or (same_as and batchnorm) or (networks and (random or several)) \
            or (rows_held and float32) or (there_and_back and shape6 and float32) or test_views \
            or (as_on_the_host and shape2 and float32))"
}

export PYTHONPATH=$installed
part build 140 "$python" -m pip install --no-build-isolation --no-deps --target "$installed" . \
    -C cmake.define.FUSEDNET_CUDA=ON -C cmake.define.CMAKE_CUDA_ARCHITECTURES="$architecture"
report build
part info 20 "$python" -m fusednet info
report info
if ((${#failed[@]} > 0)); then # nothing else could be believed
    cat "$out/${failed[-1]}.log"
    exit 1
fi
part device 40 "${tests[@]}" "${parallel[@]}" tests/test_device.py tests/test_device_large.py tests/test_device_rows.py \
    tests/test_device_programs.py tests/test_device_arrays.py tests/test_device_arrays_in_models.py \
    tests/test_device_memory.py tests/test_device_ops.py tests/test_cuda_info.py
report device
FUSEDNET_DEVICE=cuda part suite 80 "${tests[@]}" "${parallel[@]}" -m "not slow" tests/test_layers.py \
    tests/test_layers_blocks.py tests/test_layers_pooling.py tests/test_layers_statistics.py tests/test_models.py \
    tests/test_optimizers.py tests/test_training_data.py tests/test_training_state.py tests/test_regularizers.py \
    tests/test_saving.py tests/test_gradient_check.py tests/test_gradient_check_rows.py
report suite
tools=(memcheck racecheck initcheck) # side by side
for tool in "${tools[@]}"; do sanitized "$tool" & done
wait
report "${tools[@]}"
part bench 190 env JAX_PLATFORMS=cuda,cpu "$python" -m fusednet bench device --rounds 2 --rivals torch,jax \
    --json "$out/bench.json"
cat "$out/bench.log"
report bench
echo "== ${#failed[@]} parts failed in $SECONDS s: ${failed[*]:-none}"
((${#failed[@]} == 0))
