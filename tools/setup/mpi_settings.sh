#!/usr/bin/env bash
# Makes a plain "mpirun -np 8 ./trainer RECIPE" work for this user on a machine with fewer than 8 cores:
# Open MPI reads the files written here before any program starts. An existing file is never changed.
#
#   mpi_settings.sh                the user's files, and one line on what root still needs
#   mpi_settings.sh --allow-root   also lets root type mpirun in any shell, through a wrapper in
#                                  /usr/local/bin (meant for containers, where root is the only user)
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
source ./common.sh

: "${HOME:=$(getent passwd "$(id -u)" | cut -d: -f6)}"
readonly wrapper=/usr/local/bin/mpirun

# write_settings FILE KEY LINE…: creates FILE with the lines; if it exists without KEY, says what is missing.
write_settings() {
  local file=$1 key=$2
  shift 2
  if [[ ! -e $file ]]; then
    mkdir -p "$(dirname "$file")"
    { echo "# Written by Tandem's tools/setup/mpi_settings.sh"; printf '%s\n' "$@"; } >"$file"
    say "wrote $file: $(printf '%s; ' "$@")"
  elif ! grep -q "^[[:space:]]*${key}[[:space:]]*=" "$file"; then
    say "$file exists and was left alone; to start more ranks than cores, add the line: $1"
  fi
}

write_user_settings() {
  write_settings "$HOME/.openmpi/mca-params.conf" rmaps_base_oversubscribe \
    "rmaps_base_oversubscribe = 1" "mpi_yield_when_idle = 1"
  if [[ $(mpirun --version 2>/dev/null | awk 'NR == 1 { print int($NF) }') -ge 5 ]]; then
    write_settings "$HOME/.prte/mca-params.conf" rmaps_default_mapping_policy \
      "rmaps_default_mapping_policy = :oversubscribe"
  fi
}

root_allowed() { [[ -n ${OMPI_ALLOW_RUN_AS_ROOT:-} || -e $wrapper ]]; }

allow_root() {
  [[ $EUID -eq 0 ]] || die "--allow-root is for root alone; every other user may run mpirun as it is"
  if grep -qs "Written by Tandem" "$wrapper"; then return; fi
  [[ ! -e $wrapper ]] || die "$wrapper exists already, is not ours, and was left alone"
  local real
  real=$(command -v mpirun) || die "there is no mpirun yet: run tools/setup/install.sh first"
  cat >"$wrapper" <<EOF
#!/bin/sh
# Lets root run mpirun. Written by Tandem's tools/setup/mpi_settings.sh --allow-root; delete it to undo.
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
exec $real "\$@"
EOF
  chmod 755 "$wrapper"
  say "wrote $wrapper, which lets root run mpirun; delete it to undo"
}

main() {
  case ${1:-} in
    "") write_user_settings ;;
    --allow-root) write_user_settings; allow_root ;;
    *) die "unknown option $1 (there is only --allow-root)" ;;
  esac
  if [[ $EUID -eq 0 ]] && ! root_allowed; then
    say "to type mpirun yourself as root: . tools/setup/mpi.env (or, for every shell, once:" \
      "tools/setup/mpi_settings.sh --allow-root)"
  fi
}

main "$@"
