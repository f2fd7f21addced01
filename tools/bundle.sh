#!/usr/bin/env bash
# bundle.sh [--tests] [--thin] [OUTPUT.tar.gz | OUTPUT.tar]: the trainer with everything it needs, in one folder that runs wherever it is
# unpacked: on Linux with this machine's C library or a newer one and, for GPUs, a driver. Neither MPI nor a package is
# needed there: `./trainer --ranks N` starts the ranks.
#
#   --tests     also the GPU tests and the benchmarks that tools/gpu_check.sh runs
#   --thin      without the libraries of CUDA, for machines that have them (a tenth of the size)
#   BUILD=DIR   another build folder than build/release
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source tools/setup/common.sh

build=${BUILD:-build/release}
with_tests=
thin=
output=
for argument in "$@"; do
  case $argument in
    --tests) with_tests=1 ;;
    --thin) thin=1 ;;
    -*) die "unknown option $argument (there are --tests and --thin)" ;;
    *) output=$argument ;;
  esac
done

# The C library belongs to the machine, and libcuda to its driver: never bundled.
is_of_the_system() { # is_of_the_system NAME
  if [[ -n $thin && $1 == libcublas* ]]; then return 0; fi
  case $1 in
    ld-linux*.so.* | libc.so.* | libm.so.* | libdl.so.* | libpthread.so.* | librt.so.* | libresolv.so.* | libutil.so.* | \
      libcuda.so.* | libnvidia-*.so.*) return 0 ;;
  esac
  return 1
}

# "name path" of every shared library that the programs load.
libraries_of() {
  local lines
  lines=$(ldd "$@")
  if grep -q 'not found' <<<"$lines"; then die "not found here: $(grep 'not found' <<<"$lines" | head -n 1)"; fi
  awk '$2 == "=>" && $3 ~ /^\// { print $1, $3 }' <<<"$lines" | sort -u
}

copy_libraries() { # copy_libraries FOLDER PROGRAM…
  local folder=$1 name path
  shift
  while read -r name path; do
    is_of_the_system "$name" || cp -L "$path" "$folder/$name"
  done < <(libraries_of "$@")
}

# path_of LIBRARY [VARIABLE]: where the loader finds it, or what the variable names; nothing where it is not here.
# awk reads to the end: a list that nobody reads ends ldconfig, and with it, under pipefail, this script.
path_of() {
  if [[ -n ${2:-} && -n ${!2:-} ]]; then
    echo "${!2}"
  else
    ldconfig -p | awk -v name="$1" '$1 == name && !found++ { print $NF }'
  fi
}

# NCCL is opened by name when ranks have GPUs of their own, so ldd does not list it.
copy_nccl() { # copy_nccl FOLDER
  local path
  path=$(path_of libnccl.so.2 TANDEM_NCCL_LIBRARY)
  if [[ -n $path ]]; then
    cp -L "$path" "$1/libnccl.so.2"
  else
    say "no libnccl.so.2 here (TANDEM_NCCL_LIBRARY names one): GPUs will exchange tensors by way of the host"
  fi
}

# Nor cuDNN, which itself opens the libraries beside it, of which attention takes these, and the compiler of kernels.
copy_cudnn() { # copy_cudnn FOLDER
  local path name compiler
  path=$(path_of libcudnn.so.9 TANDEM_CUDNN_LIBRARY)
  if [[ -z $path ]]; then
    say "no libcudnn.so.9 here (TANDEM_CUDNN_LIBRARY names one): attention will run on Tandem's own kernels"
    return
  fi
  cp -L "$path" "$1/libcudnn.so.9"
  for name in graph heuristic engines_precompiled engines_runtime_compiled; do
    cp -L "$(dirname "$path")/libcudnn_$name.so.9" "$1/"
  done
  for compiler in $(ldconfig -p | awk '$1 ~ /^libnvrtc(-builtins)?\.so\.[0-9.]+$/ { print $1 }' | sort -u); do
    cp -L "$(path_of "$compiler")" "$1/$compiler"
  done
}

# Programs look for libraries beside themselves and in lib/; libraries beside themselves.
set_search_paths() { # set_search_paths FOLDER
  local file
  for file in "$1"/lib/*.so*; do patchelf --force-rpath --set-rpath '$ORIGIN' "$file"; done
  patchelf --force-rpath --set-rpath '$ORIGIN/lib' "$1/trainer"
  for file in "$1"/bin/*; do
    [[ ! -f $file ]] || patchelf --force-rpath --set-rpath '$ORIGIN/../lib' "$file"
  done
}

compressed() { if [[ $output == *gz ]]; then gzip -n; else cat; fi; }

stage=$(mktemp -d)
trap 'rm -rf "$stage"' EXIT

main() {
  local version name folder programs program
  have patchelf || die "patchelf is missing (package patchelf)"
  programs=("$build/launcher/trainer")
  if [[ -n $with_tests ]]; then
    programs+=("$build/tests/gpu/gpu_test" "$build"/bench/bench_{train,generate,kernels})
  fi
  for program in "${programs[@]}"; do
    [[ -x $program ]] || die "$program is not built"
  done
  version=$("$build/launcher/trainer" --version | awk '{ print $2 }')
  name=tandem-$version-$(uname -m)
  output=${output:-$name.tar.gz}
  folder=$stage/$name

  mkdir -p "$folder/lib"
  cp "$build/launcher/trainer" "$folder/"
  copy_libraries "$folder/lib" "${programs[@]}"
  if [[ -z $thin ]]; then
    copy_nccl "$folder/lib"
    copy_cudnn "$folder/lib"
  fi
  cp -r recipes docs README.md LICENSE "$folder/"
  if [[ -n $with_tests ]]; then
    mkdir -p "$folder"/{bin,bench,tools,tests/golden}
    cp "${programs[@]:1}" "$folder/bin/"
    cp -r bench/models bench/peers "$folder/bench/"
    cp -r tests/golden/data "$folder/tests/golden/"
    cp tools/gpu_check.sh "$folder/tools/"
  fi
  set_search_paths "$folder"
  # One time stamp, one order, no owner: equal inputs give equal bundles.
  tar --sort=name --owner=0 --group=0 --numeric-owner --mtime="@$(git log -1 --format=%ct)" \
    -C "$stage" -cf - "$name" | compressed >"$output"
  say "$output ($(du -h "$output" | cut -f 1))"
}

main
