#!/usr/bin/env bash
# cudnn_frontend.sh [DIR]: fetches the headers of cuDNN's frontend into DIR (default build/cudnn-frontend), where CMake
# finds them. They are those of the nvidia-cudnn-frontend wheel (pinned version, verified SHA-256), of which no Python is
# used. A second call does nothing. Without them attention on GPUs runs on Tandem's own kernels.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
source "$root/tools/setup/common.sh"

out=${1:-$root/build/cudnn-frontend}
readonly version=1.32.0
declare -rA sha256_of=(
  [x86_64]=c6006556017a4d1c914c52a556c71b1267f2d6a0500f742e7b4edef539878df0
)
expected=${sha256_of[$(uname -m)]:-}

[[ ! -f $out/version || $(<"$out/version") != "$version" ]] || exit 0
[[ -n $expected ]] || die "no pinned cuDNN frontend for $(uname -m)"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

say "fetching the headers of cuDNN's frontend $version (12 MB) into $out"
unpack_wheel "nvidia-cudnn-frontend==$version" "$expected" "$work/wheel"
rm -rf "$out"
mkdir -p "$out"
cp -r "$work/wheel/include" "$out/"
cp "$work/wheel/nvidia_cudnn_frontend-$version.dist-info/licenses/"LICENSE* "$out/" 2>/dev/null || true
echo "$version" >"$out/version"
