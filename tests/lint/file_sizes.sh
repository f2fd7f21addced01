#!/usr/bin/env bash
# A file has one subject: 700 lines are the ceiling.
cd "$(dirname "$0")/../.." || exit 2
long=$(git ls-files '*.cpp' '*.h' '*.cu' '*.cuh' '*.py' '*.sh' | xargs wc -l | awk '$2 != "total" && $1 > 700')
[ -z "$long" ] || { echo "files of more than 700 lines:"; echo "$long"; exit 1; }
