#!/usr/bin/env bash
# No symbolic link is committed: one that leads out of the tree works on one machine alone.
cd "$(dirname "$0")/../.." || exit 2
links=$(git ls-files -s | awk '$1 == 120000' | cut -f 2)
[ -z "$links" ] || { echo "committed symbolic links:"; echo "$links"; exit 1; }
