# Sourced by tests that are scripts: each check prints what differs; finish gives the verdict.
# shellcheck shell=bash
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failures=0
checks=0

fail() {
  failures=$((failures + 1))
  printf 'FAILED %s\n' "$*"
}

equal() { # equal WHAT WANT HAVE
  checks=$((checks + 1))
  if [[ $2 == "$3" ]]; then
    return
  elif [[ $2$3 == *$'\n'* ]]; then
    fail "$1"$'\n'"$(diff <(echo "$2") <(echo "$3"))"
  else
    fail "$1"$'\n  expected: '"$2"$'\n  but got:  '"$3"
  fi
}

contains() { # contains WHAT TEXT PART
  checks=$((checks + 1))
  [[ $2 == *"$3"* ]] || fail "$1"$'\n  expected: … '"$3"$' …\n  but got:  '"$2"
}

succeeds() { # succeeds WHAT COMMAND…
  checks=$((checks + 1))
  "${@:2}" >/dev/null 2>&1 || fail "$1 (exit status $?)"
}

finish() {
  echo "$checks checks, $failures failed"
  [[ $failures -eq 0 ]]
}
