#!/usr/bin/env bash
# The set-up scripts where they must not act or cannot: everything installed, no root, no apt, old tools,
# settings that a user already has. Nothing is installed here.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/../support/check.sh"

chmod 755 "$work"
cp -r "$root/tools" "$work/tools"
export HOME=$work/home
mkdir "$HOME"
install=$work/tools/setup/install.sh

# A folder to be the whole PATH: the system's commands without some, and with replacements.
make_path() { # make_path DIR WITHOUT…
  local dir=$1 command
  mkdir "$dir"
  for command in awk basename bash cat cmake cut dirname env g++ getent git grep head id mkdir mpicxx mpirun ninja \
    ccache pkg-config protoc grpc_cpp_plugin printf sort tr; do
    if [[ " ${*:2} " != *" $command "* ]]; then ln -s "$(command -v "$command")" "$dir/$command"; fi
  done
}

fake() { # fake DIR COMMAND TEXT: a command that notes that it was called and prints the text
  printf '#!/bin/bash\necho "$0 $*" >>%q\necho %q\n' "$work/calls" "$3" >"$1/$2"
  chmod 755 "$1/$2"
}

as_user() { # the command as a user who is not root
  if [[ $EUID -eq 0 ]]; then setpriv --reuid=65534 --regid=65534 --clear-groups "$@"; else "$@"; fi
}

asks_nobody_when_all_is_there() {
  make_path "$work/complete"
  fake "$work/complete" apt-get ""
  fake "$work/complete" sudo ""
  succeeds "install.sh with everything in place" env PATH="$work/complete" "$install"
  equal "calls of apt-get or sudo" "" "$(cat "$work/calls" 2>/dev/null || true)"
}

says_what_is_missing() {
  make_path "$work/no_apt" ccache apt-get
  equal "no apt" \
    "install.sh: error: no apt-get here: install by hand (names as in Debian), then rerun: ca-certificates ccache" \
    "$(PATH=$work/no_apt "$install" 2>&1 | tail -n 1)"
  make_path "$work/no_root" ccache
  fake "$work/no_root" apt-get ""
  chmod 777 "$HOME"
  equal "neither root nor sudo" \
    "install.sh: error: neither root nor sudo: ask your administrator to install: ca-certificates ccache" \
    "$(PATH=$work/no_root as_user_bash "$install" 2>&1 | tail -n 1)"
}

as_user_bash() { PATH=/usr/bin:/bin as_user env PATH="$work/no_root" bash "$@"; }

refuses_old_tools() {
  make_path "$work/old" cmake
  fake "$work/old" cmake "cmake version 3.18.4"
  contains "an old CMake" "$(PATH=$work/old "$install" 2>&1 || true)" \
    "error: CMake 3.18.4 is too old: 3.22 or newer is needed ($work/old/cmake)"
}

writes_settings_once() {
  rm -rf "$HOME"
  mkdir "$HOME"
  contains "first time" "$("$work/tools/setup/mpi_settings.sh" 2>&1)" "wrote $HOME/.openmpi/mca-params.conf"
  equal "second time" "" "$("$work/tools/setup/mpi_settings.sh" 2>&1 | grep -v "type mpirun yourself as root" || true)"
  echo "btl = self" >"$HOME/.openmpi/mca-params.conf"
  contains "a file of the user's" "$("$work/tools/setup/mpi_settings.sh" 2>&1)" \
    "was left alone; to start more ranks than cores, add the line: rmaps_base_oversubscribe = 1"
  equal "the user's file" "btl = self" "$(cat "$HOME/.openmpi/mca-params.conf")"
}

# The shipped configuration alone starts 8 ranks, whatever the number of cores.
starts_eight_ranks() {
  rm -rf "$HOME"
  mkdir "$HOME"
  "$work/tools/setup/mpi_settings.sh" 2>/dev/null
  equal "ranks under the written settings" 8 "$(OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 \
    env -u OMPI_MCA_rmaps_base_oversubscribe -u PRTE_MCA_rmaps_default_mapping_policy \
    timeout 60 mpirun -np 8 echo rank 2>&1 | grep -c '^rank$')"
  rm -rf "$HOME"
  mkdir "$HOME"
  equal "ranks under mpi.env" 8 \
    "$(source "$work/tools/setup/mpi.env"; timeout 60 mpirun -np 8 echo rank 2>&1 | grep -c '^rank$')"
}

answers_wrong_arguments() {
  contains "run.sh without such a recipe" "$("$root/run.sh" recipes/none.yaml 2>&1 || true)" \
    "error: no such recipe: recipes/none.yaml"
  contains "test.sh with an unknown option" "$("$root/test.sh" --fast 2>&1 || true)" "error: unknown option --fast"
}

asks_nobody_when_all_is_there
says_what_is_missing
refuses_old_tools
writes_settings_once
starts_eight_ranks
answers_wrong_arguments
finish
