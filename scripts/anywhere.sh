#!/usr/bin/env bash
# The tests on three kinds of processor, each in another random order and with other hashes; warnings are errors, but
# for what libraries say of their own future, and PyTorch of numbers that tests read off a graph.
set -euo pipefail
cd "$(dirname "$0")/.."
export OMP_NUM_THREADS=1
order=1
for capability in default avx2 native; do
  echo "ATEN_CPU_CAPABILITY=$capability, order $order"
  if [ "$capability" = native ]; then unset ATEN_CPU_CAPABILITY; else export ATEN_CPU_CAPABILITY=$capability; fi
  PYTHONHASHSEED=$order python -m pytest -n 2 --dist loadgroup -m "not slow" --randomly-seed=$order \
    -W error -W ignore::DeprecationWarning -W "ignore:Converting a tensor with requires_grad"
  order=$((order + 1))
done
