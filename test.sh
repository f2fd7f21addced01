#!/usr/bin/env bash
# Installs what is missing, builds everything and runs every test; ends with ctest's closing lines.
#
#   ./test.sh            all tests of the release build, among them real mpirun jobs
#   ./test.sh --asan     the unit tests under AddressSanitizer and UndefinedBehaviorSanitizer
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
source tools/setup/common.sh

preset=release
case ${1:-} in
  "") ;;
  --asan) preset=asan ;;
  *) die "unknown option $1 (there is only --asan)" ;;
esac

source tools/setup/mpi.env
tools/setup/install.sh
tools/setup/build.sh "$preset"
exec ctest --preset "$preset" --output-on-failure --no-label-summary --timeout 300 -j "$(nproc)"
