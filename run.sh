#!/usr/bin/env bash
# Installs what is missing, builds, fetches the demo's data if the recipe reads it, and trains:
#
#   ./run.sh                               recipes/rlhf.yaml on 8 ranks
#   ./run.sh RECIPE [key=value …]          any recipe, with changes to its keys
#   RANKS=4 ./run.sh …                     another number of ranks
#
# A second run installs and downloads nothing and rebuilds only what changed; a run that was interrupted
# goes on from its last checkpoint.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
source tools/setup/common.sh

recipe=recipes/rlhf.yaml
if [[ $# -gt 0 && $1 != *=* ]]; then
  recipe=$1
  shift
fi
ranks=${RANKS:-8}
[[ -f $recipe ]] || die "no such recipe: $recipe (recipes/ has: $(cd recipes && echo *.yaml))"
[[ $ranks =~ ^[1-9][0-9]*$ ]] || die "RANKS=$ranks is not a number of ranks"

tools/setup/install.sh
tools/setup/build.sh release trainer
if grep -q '^[^#]*data/demo' "$recipe"; then tools/demo_data/fetch.sh; fi

source tools/setup/mpi.env
say "mpirun -np $ranks ./trainer $recipe $*"
exec mpirun -np "$ranks" ./trainer "$recipe" "$@"
