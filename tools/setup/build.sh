#!/usr/bin/env bash
# build.sh PRESET [TARGET]…: configures the preset when it is not configured yet, then builds what changed.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
source tools/setup/common.sh

preset=$1
targets=()
if [[ $# -gt 1 ]]; then targets=(--target "${@:2}"); fi

# Asked for at every build, so that a folder configured by hand gets it too; hence quick to give up without a network.
if have nvcc || [[ -x /usr/local/cuda/bin/nvcc ]]; then
  PIP_RETRIES=1 tools/setup/cudnn_frontend.sh || say "building without cuDNN: attention on GPUs will run on Tandem's own kernels"
fi
# A folder that was configured before cuDNN's frontend came would go on without it.
if [[ ! -f build/$preset/build.ninja || build/cudnn-frontend/version -nt build/$preset/build.ninja ]]; then
  cmake --preset "$preset" >&2 || die "configuring failed (CMake's message stands above)"
fi
cmake --build --preset "$preset" "${targets[@]}" >&2 ||
  die "the build failed (the compiler's message stands above)"
