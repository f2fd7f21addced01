#!/usr/bin/env bash
# bundle.sh [--tests] [--thin] [--without-cudnn] [OUTPUT.tar.gz | OUTPUT.tar.xz | OUTPUT.tar]: the trainer with everything
# it needs, in one folder that runs wherever it is unpacked: on Linux with this machine's C library or a newer one and,
# for GPUs, a driver. Neither MPI nor a package is needed there: `./trainer --ranks N` starts the ranks.
#
#   --tests           also the GPU tests and the benchmarks that tools/gpu_check.sh runs
#   --thin            without the libraries of CUDA, for machines that have them (a twentieth of the size); .tar.xz by default,
#                     which takes a minute, and too long for what CUDA weighs
#   --without-cudnn   also of a build for GPUs whose attention is Tandem's own alone
#   BUILD=DIR         another build folder than build/release
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source tools/setup/common.sh

build=${BUILD:-build/release}
with_tests=
thin=
without_cudnn=
output=
for argument in "$@"; do
  case $argument in
    --tests) with_tests=1 ;;
    --thin) thin=1 ;;
    --without-cudnn) without_cudnn=1 ;;
    -*) die "unknown option $argument (there are --tests, --thin and --without-cudnn)" ;;
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

# Nor cuDNN, which itself opens the libraries beside it, of which attention takes these (the engines differ from version
# to version), and the compiler of kernels.
copy_cudnn() { # copy_cudnn FOLDER
  local path here compiler
  path=$(path_of libcudnn.so.9 TANDEM_CUDNN_LIBRARY)
  if [[ -z $path ]]; then
    say "no libcudnn.so.9 here (TANDEM_CUDNN_LIBRARY names one): attention will run on Tandem's own kernels"
    return
  fi
  cp -L "$path" "$1/libcudnn.so.9"
  here=$(dirname "$path")
  cp -L "$here"/libcudnn_{graph,heuristic}.so.9 "$here"/libcudnn_engines_*.so.9 "$1/"
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

# The files of tests/golden/data that the sources of the GPU tests name: a tenth of all.
copy_golden_data() { # copy_golden_data FOLDER
  local name
  mkdir -p "$1/tests/golden/data"
  for name in $(grep -ohE '[a-z0-9_]+\.(safetensors|json)"' tests/{gpu,runtime/kernels}/*.cpp | tr -d '"' | sort -u); do
    cp -r "tests/golden/data/$name" "$1/tests/golden/data/"
  done
}

# What stripping takes is of no use without the sources, and a quarter of the programs.
strip_programs() { # strip_programs FOLDER
  local file
  for file in "$1/trainer" "$1"/bin/*; do
    [[ ! -f $file ]] || strip "$file"
  done
}

# The programs hold the same kernels, which xz sees when its dictionary reaches from one to the next. -T2 because -T0
# gives other bytes where there is one core.
compressed() {
  case $output in
    *xz) xz -T2 --lzma2=preset=3,dict=128MiB ;;
    *gz) gzip -n ;;
    *) cat ;;
  esac
}

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
  version=$("$build/launcher/trainer" --version)
  if [[ $version == *"no cuDNN"* && -z $without_cudnn ]]; then
    die "$build is built without cuDNN: run tools/setup/cudnn_frontend.sh, configure and build again, or give --without-cudnn"
  fi
  name=tandem-$(awk '{ print $2 }' <<<"$version")-$(uname -m)
  if [[ -z $output ]]; then
    output=$name.tar.gz
    [[ -z $thin ]] || output=$name.tar.xz
  fi
  folder=$stage/$name

  mkdir -p "$folder/lib"
  cp "$build/launcher/trainer" "$folder/"
  copy_libraries "$folder/lib" "${programs[@]}"
  if [[ -z $thin ]]; then
    copy_nccl "$folder/lib"
    [[ $version == *"no cuDNN"* ]] || copy_cudnn "$folder/lib"
  fi
  cp -r recipes docs README.md LICENSE "$folder/"
  if [[ -n $with_tests ]]; then
    mkdir -p "$folder"/{bin,bench,tools}
    cp "${programs[@]:1}" "$folder/bin/"
    cp -r bench/models bench/peers "$folder/bench/"
    copy_golden_data "$folder"
    cp tools/gpu_check.sh "$folder/tools/"
  fi
  strip_programs "$folder"
  set_search_paths "$folder"
  # One time stamp, one order, no owner: equal inputs give equal bundles.
  tar --sort=name --owner=0 --group=0 --numeric-owner --mtime="@$(git log -1 --format=%ct)" \
    -C "$stage" -cf - "$name" | compressed >"$output"
  say "$output ($(du -h "$output" | cut -f 1))"
}

main
