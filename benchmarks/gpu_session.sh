#!/usr/bin/env bash
# All that a machine with an NVIDIA GPU can show, in parts whose limits add up to 15 minutes: build, the tests of models on
# the device, compute-sanitizer over them, the benchmark. Run it in a checkout; Python (PYTHON), nvcc, CMake, Ninja and the packages of
# the extras "test" and, for rivals, "bench" with CUDA builds of torch and jax must be there. Nothing is fetched.
# Logs and the record go to the folder OUT (default: gpu_session). Ends with a summary; its status is that of all parts.
set -uo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
python=${PYTHON:-python3}
out=$(mkdir -p "${OUT:-gpu_session}" && cd "${OUT:-gpu_session}" && pwd)
architecture=${ARCHITECTURE:-$(nvidia-smi --query-gpu=compute_cap --format=csv,noheader | head -1 | tr -d .)}
installed=$out/installed
failed=()
cd "$root" || exit 1

part() { # NAME SECONDS COMMAND...: its output in NAME.log
    local name=$1 limit=$2 from=$SECONDS status=0
    shift 2
    timeout "$limit" "$@" >"$out/$name.log" 2>&1 || status=$?
    echo "== $name: $((SECONDS - from)) s, status $status"
    tail -n 3 "$out/$name.log" | sed 's/^/   /'
    ((status == 0)) || failed+=("$name")
}

sanitized() { # TOOL: of what a device is asked for, the tests that ask for most of it
    compute-sanitizer --tool "$1" --target-processes all --error-exitcode 9 "$python" -m pytest -q -p no:cacheprovider \
        tests/test_device.py tests/test_device_programs.py --deselect tests/test_device.py::test_gradients \
        -k "cuda and (batchnorm or layernorm or refused or (networks and (random or several)))"
}

export PYTHONPATH=$installed
part build 240 "$python" -m pip install --no-build-isolation --no-deps --target "$installed" . \
    -C cmake.define.FUSEDNET_CUDA=ON -C cmake.define.CMAKE_CUDA_ARCHITECTURES="$architecture"
part info 30 "$python" -m fusednet info
part device 150 "$python" -m pytest -q -p no:cacheprovider tests/test_device.py tests/test_device_rows.py \
    tests/test_device_programs.py tests/test_device_arrays.py tests/test_device_ops.py tests/test_cuda_info.py
export FUSEDNET_DEVICE=cuda
part suite 150 "$python" -m pytest -q -p no:cacheprovider -m "not slow" tests/test_layers.py tests/test_layers_blocks.py \
    tests/test_layers_pooling.py tests/test_layers_statistics.py tests/test_models.py tests/test_optimizers.py \
    tests/test_training_data.py tests/test_training_state.py tests/test_regularizers.py tests/test_saving.py \
    tests/test_gradient_check.py tests/test_gradient_check_rows.py
unset FUSEDNET_DEVICE
for tool in memcheck racecheck initcheck; do part "$tool" 60 sanitized "$tool"; done
part bench 150 env JAX_PLATFORMS=cuda,cpu "$python" -m fusednet bench device --rounds 3 --json "$out/bench.json"
cat "$out/bench.log"
echo "== ${#failed[@]} parts failed: ${failed[*]:-none}"
((${#failed[@]} == 0))
