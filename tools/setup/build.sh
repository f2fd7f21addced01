#!/usr/bin/env bash
# build.sh PRESET [TARGET]: configures the preset when it is not configured yet, then builds what changed.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
source tools/setup/common.sh

preset=$1
targets=()
if [[ -n ${2:-} ]]; then targets=(--target "$2"); fi

if [[ ! -f build/$preset/build.ninja ]]; then
  if have nvcc || [[ -x /usr/local/cuda/bin/nvcc ]]; then
    tools/setup/cudnn_frontend.sh || say "building without cuDNN: attention on GPUs will run on Tandem's own kernels"
  fi
  cmake --preset "$preset" >&2 || die "configuring failed (CMake's message stands above)"
fi
cmake --build --preset "$preset" "${targets[@]}" >&2 ||
  die "the build failed (the compiler's message stands above)"
