#!/usr/bin/env bash
# Installs what building and running Tandem needs, and only what is missing. With everything in place it
# takes a fraction of a second and asks no package manager. Needs root or sudo only when something is
# missing. Knows apt (Debian, Ubuntu); elsewhere it lists what to install by hand.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
source ./common.sh

# How to see that it is there, and the package that brings it (the first that exists is taken).
requirements='
command cmake                     cmake
command ninja                     ninja-build
command ccache                    ccache
command g++                       g++
command git                       git
command pkg-config                pkgconf|pkg-config
command mpicxx                    libopenmpi-dev
command mpirun                    openmpi-bin
command protoc                    protobuf-compiler
command grpc_cpp_plugin           protobuf-compiler-grpc
header  oneapi/dnnl/dnnl.hpp      libdnnl-dev
header  grpcpp/grpcpp.h           libgrpc++-dev
header  google/protobuf/message.h libprotobuf-dev
header  yaml-cpp/yaml.h           libyaml-cpp-dev
header  gtest/gtest.h             libgtest-dev
header  gmock/gmock.h             libgmock-dev
header  nlohmann/json.hpp         nlohmann-json3-dev
header  spdlog/spdlog.h           libspdlog-dev
header  fmt/core.h                libfmt-dev
header  CLI/CLI.hpp               libcli11-dev
header  pcre2.h                   libpcre2-dev
header  zlib.h                    zlib1g-dev
header  zstd.h                    libzstd-dev
header  unicode/uchar.h           libicu-dev
'

# Prints the packages whose headers the compiler does not find: one compiler call for all of them.
packages_of_missing_headers() {
  awk '$1 == "header" { printf "#if !__has_include(<%s>)\nmissing %s\n#endif\n", $2, $3 }' <<<"$requirements" |
    g++ -std=c++17 -E -P -DPCRE2_CODE_UNIT_WIDTH=8 -x c++ - | awk '$1 == "missing" { print $2 $3 $4 $5 $6 }'
}

packages_of_missing_commands() {
  local kind probe packages
  while read -r kind probe packages; do
    if [[ $kind == command ]] && ! have "$probe"; then echo "$packages"; fi
  done <<<"$requirements"
}

missing_packages() {
  packages_of_missing_commands
  if have g++; then
    packages_of_missing_headers
  else
    awk '$1 == "header" { print $3 }' <<<"$requirements"
  fi
}

version_at_least() { # version_at_least HAVE WANT
  [[ $(printf '%s\n%s\n' "$2" "$1" | sort -V | head -n 1) == "$2" ]]
}

check_versions() {
  local cmake_version gxx_version
  cmake_version=$(cmake --version | awk 'NR == 1 { print $3 }')
  gxx_version=$(g++ -dumpfullversion -dumpversion)
  version_at_least "$cmake_version" 3.22 ||
    die "CMake $cmake_version is too old: 3.22 or newer is needed ($(command -v cmake))"
  version_at_least "$gxx_version" 11 ||
    die "g++ $gxx_version is too old: 11 or newer is needed ($(command -v g++))"
}

main() {
  local missing
  missing=$(missing_packages | tr '\n' ' ')
  if [[ -n $missing ]]; then
    say "installing: $missing"
    # shellcheck disable=SC2086 # a list of package names
    apt_install ca-certificates $missing
    hash -r
    missing=$(missing_packages | tr '\n' ' ')
    [[ -z $missing ]] || die "still missing after the installation: $missing"
  fi
  check_versions
  ./mpi_settings.sh
}

main "$@"
