#!/usr/bin/env bash
# parquet.sh [DIR]: fetches Apache Arrow's libarrow and libparquet with their headers into DIR (default
# build/arrow), where CMake finds them and builds the Parquet reader with them. They are those of the pyarrow
# wheel (pinned version, verified SHA-256), of which no Python is used; distributions that have libparquet-dev
# need none of this. A second call does nothing. Without it the program reads all but Parquet.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
source "$root/tools/setup/common.sh"

out=${1:-$root/build/arrow}
readonly version=26.0.1
declare -rA sha256_of=(
  [x86_64]=39cb0f2418282c24bea6ceda77b03e5a8f0a5766b63a8bf194d4e2a2c423548c
)
machine=$(uname -m)
expected=${sha256_of[$machine]:-}

[[ ! -f $out/version || $(<"$out/version") != "$version" ]] || exit 0
[[ -n $expected ]] || die "no pinned Arrow for $machine: install libparquet-dev, or read JSONL"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

say "fetching Apache Arrow $version (50 MB) into $out"
unpack_wheel "pyarrow==$version" "$expected" "$work/wheel"
rm -rf "$out" "$out.part"
mkdir -p "$out.part/lib"
cp -r "$work/wheel/pyarrow/include" "$out.part/include"
for name in arrow parquet; do
  library=$(basename "$work/wheel/pyarrow/lib$name.so".*)
  cp "$work/wheel/pyarrow/$library" "$out.part/lib/"
  ln -s "$library" "$out.part/lib/lib$name.so"
done
cp "$work/wheel/pyarrow-$version.dist-info/licenses/LICENSE.txt" "$out.part/" 2>/dev/null || true
echo "$version" >"$out.part/version"
mv "$out.part" "$out"
