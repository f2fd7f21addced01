#!/usr/bin/env bash
# failing_rank_test.sh PROGRAM: whatever happens to one rank, the job ends soon, with a status that is not 0, says
# why, and leaves no process behind; through shared memory and through messages.
set -uo pipefail
program=$1
failures=0

# expect HOW STATUS TEXT: the job's exit status and what one of its lines holds.
expect() {
  local how=$1 status=$2 text=$3 output got start
  start=$SECONDS
  output=$(timeout -k 5 50 mpirun --oversubscribe --allow-run-as-root -np 3 "$program" "$how" 2>&1)
  got=$?
  if [ "$got" != "$status" ] || ! grep -qF "$text" <<<"$output" || [ $((SECONDS - start)) -gt 30 ] ||
    pgrep -f "^$program $how\$" >/dev/null; then
    printf '%s (shared memory %s): status %s after %s s\n%s\n' "$how" "$TANDEM_SHARED_MEMORY" "$got" \
      $((SECONDS - start)) "$output"
    failures=$((failures + 1))
  fi
}

stalled="for all_reduce 'layers.3.down' (20000 bytes, number 7 of group 'tp'): no answer from rank 2;"
for TANDEM_SHARED_MEMORY in on off; do
  export TANDEM_SHARED_MEMORY
  expect killed 137 'signal 9'
  expect stalled 2 "$stalled"
done
TANDEM_SHARED_MEMORY=on
expect nothing 0 ''
expect throws 2 "this rank's file is missing; restore it"
# Messages carry no names, so only ranks of one machine see that they call different things.
expect apart 1 "rank 2 calls all_reduce 'another' of 8 bytes (fp64)"
exit $((failures > 0))
