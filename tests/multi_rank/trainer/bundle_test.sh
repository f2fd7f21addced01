#!/usr/bin/env bash
# A bundle runs where there is nothing but the C library, a shell and a few of its tools: in a root folder of its own,
# from which neither this machine's libraries nor the build tree can be seen. BUNDLE_OPTIONS=--tests also tries
# tools/gpu_check.sh there.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/fixture.sh"

if ! command -v patchelf >/dev/null || ! unshare --map-root-user --mount --pid --fork true 2>/dev/null; then
  echo "skipped: a bundle needs patchelf to be made, and its test a root folder of its own (unshare)"
  exit 77
fi

empty=$work/root
programs=(bash awk cat cp cut date dirname env grep head mkdir mktemp mv rm sed sleep tail timeout tr uname)

# The root folder: a shell, tools and what they load, which is the C library and little more.
make_root() {
  local program path
  mkdir -p "$empty"/{bin,tmp,proc,dev,etc}
  for program in "${programs[@]}"; do
    path=$(readlink -f "$(command -v "$program")")
    cp -L "$path" "$empty/bin/$program"
    ldd "$path" | grep -o '/[^ ]*'
  done | sort -u | while read -r path; do cp -L --parents "$path" "$empty"; done
  # What the trainer takes from the system: the C library, nothing else.
  for path in libc.so.6 libm.so.6 libdl.so.2 libpthread.so.0 librt.so.1; do
    cp -L --parents "$(ldconfig -p | awk -v name="$path" '$1 == name && /x86-64|AArch64/ && !found++ { print $NF }')" "$empty"
  done
}

# inside COMMAND…: in the root folder, where /proc is the only thing that is mounted.
inside() {
  local status=0
  unshare --map-root-user --mount --pid --fork bash -c 'mount -t proc proc "$1/proc" && shift && exec chroot "$@"' \
    - "$empty" "$empty" /bin/bash -c "export PATH=/bin OMP_NUM_THREADS=1; $*" >"$work/log" 2>&1 || status=$?
  [[ $status -eq 0 ]] || cat "$work/log"
  return "$status"
}

make_root
touch "$empty/dev/null"
ln -s /proc/self/fd "$empty/dev/fd"
chmod 666 "$empty/dev/null"
options=(${BUNDLE_OPTIONS:-})
if [[ $("$trainer" --version) == *"no cuDNN"* ]]; then options+=(--without-cudnn); fi
BUILD=$(dirname "$(dirname "$trainer")") tools/bundle.sh "${options[@]}" "$work/bundle.tar" || fail "the bundle"
tar -xf "$work/bundle.tar" -C "$empty"
folder=$(basename "$empty"/tandem-*)
equal "libraries of the system in the bundle" "" "$(cd "$empty/$folder/lib" && ls libc.so* libcuda.so* 2>/dev/null || true)"

make_data
write_recipe "$work/tiny.yaml"
mkdir -p "$empty$work" # the same paths inside
cp -r "$work/data" "$work/tiny.yaml" "$empty$work/"

inside "cd /$folder && ./trainer --version" || fail "the version"
contains "the version" "$(cat "$work/log")" "trainer "
inside "cd /$folder && ./trainer --ranks 5 $work/tiny.yaml run_dir=/tmp/run" || fail "all stages on five ranks"
contains "the run's end" "$(cat "$work/log")" "held-out prompts"
inside "cd /$folder && ./trainer generate --model /tmp/run/ppo --prompt The --max-new-tokens 4" || fail "a text"
if [[ ${BUNDLE_OPTIONS:-} == --tests ]]; then
  inside "cd /$folder && bash tools/gpu_check.sh --device cpu --tiny --output /tmp/check.json" || fail "gpu_check.sh"
  cat "$empty/tmp/check.json"
fi
finish
