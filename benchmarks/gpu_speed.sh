#!/usr/bin/env bash
# Measures this project beside JAX and PyTorch on a machine with a GPU, one benchmark after the other.
#
#   benchmarks/gpu_speed.sh [FOLDER]
#
# FOLDER (gpu_speed) gets machine.txt, and for each benchmark NAME.txt, its table, and NAME.json, all measurements; both
# when it ends, so that a run that is cut short leaves those before. Exit status: 0 if all ran, 1 if not.
#
#   ROUNDS         new processes of each variant (3)
#   EXAMPLES       images that one model is trained on (all)
#   MODELS         how many models are trained together, one benchmark each (16 64 256)
#   ONLY           names of the benchmarks to run (all)
#   SECONDS_EACH   the longest that a benchmark may take (120)
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
folder=${1:-gpu_speed}
mkdir -p "$folder"
python=${PYTHON:-python3}
rounds=${ROUNDS:-3}
# Frameworks are measured in processes of their own, one at a time, but none may hold the memory of those to come.
export TF_FORCE_GPU_ALLOW_GROWTH=true XLA_PYTHON_CLIENT_PREALLOCATE=false TF_CPP_MIN_LOG_LEVEL=3 PYTHONUNBUFFERED=1
examples=()
if [ -n "${EXAMPLES:-}" ]; then examples=(--examples="$EXAMPLES"); fi
{
    date -u
    nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv,noheader 2>/dev/null || echo "no GPU"
    "$python" -m pip list 2>/dev/null | grep -iE '^(tensorflow|dm-sonnet|jax|jaxlib|torch) ' || true
} >"$folder/machine.txt"
cat "$folder/machine.txt"
failed=0

measure() {
    local name=$1 status
    shift
    if [ -n "${ONLY:-}" ] && [[ " $ONLY " != *" $name "* ]]; then return; fi
    echo "== $name"
    timeout --signal=INT --kill-after=10 "${SECONDS_EACH:-120}" \
        "$python" -m "benchmarks.$1" "${@:2}" --rounds="$rounds" --json="$folder/$name.json" 2>"$folder/$name.err" \
        | tee "$folder/$name.txt"
    status=${PIPESTATUS[0]}
    if [ "$status" -ne 0 ]; then
        echo "$name ended with status $status: $(tail -n 1 "$folder/$name.err")"
        failed=1
    fi
}

measure training_step training_step "${examples[@]}" --variants=ours_graph,pytorch_best,jax_scan
for models in ${MODELS:-16 64 256}; do
    measure "many_models_$models" many_models --models="$models" --variants=batched,shared,pytorch_vmap,jax_vmap
done
measure polynomial_layer polynomial_layer
measure rotations orbits rotations
measure permutations orbits permutations
measure synchronous orbits synchronous --batch=1000 --xla
measure shared_shifts shared_layers --group=shifts
measure shared_permutations shared_layers --group=permutations
measure cifar10_cnn training_step "${examples[@]}" --model=CIFAR10_CNN --variants=ours_graph,pytorch_best,jax_scan
exit "$failed"
