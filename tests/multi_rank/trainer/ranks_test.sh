#!/usr/bin/env bash
# --ranks N: the program starts its ranks itself. The same bytes as under mpirun; a rank that is killed is named
# and ends the others; a polite signal is passed on; errors keep their one line and exit code.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/fixture.sh"
make_data
write_recipe "$work/tiny.yaml"

run_ranks() { # run_ranks RANKS ARGUMENT…: as run_trainer, without mpirun
  local ranks=$1
  shift
  status=0
  timeout 120 "$trainer" --ranks "$ranks" "$@" >"$work/log" 2>&1 || status=$?
}

run_trainer 5 "$work/tiny.yaml" "run_dir=$work/mpirun"
equal "under mpirun" 0 "$status"
run_ranks 5 "$work/tiny.yaml" "run_dir=$work/ranks"
equal "with --ranks" 0 "$status"
[[ $status -eq 0 ]] || { cat "$work/log"; finish; }
equal "the same bytes as under mpirun" "$(fingerprint "$work/mpirun")" "$(fingerprint "$work/ranks")"

# In the background, until training has begun.
start() { # start RUN_DIR
  "$trainer" --ranks 4 "$work/tiny.yaml" "run_dir=$1" pretrain.steps=100000 ppo.placement.shared=true >"$work/log" 2>&1 &
  parent=$!
  local i
  for ((i = 0; i < 300; i++)); do
    if [[ -s $1/pretrain/metrics.jsonl ]]; then return; fi
    sleep 0.1
  done
  fail "no training after 30 seconds"
}

ended() { # waits for the parent: exit code into $status, and no rank is left
  local i
  status=0
  wait "$parent" || status=$?
  for ((i = 0; i < 50; i++)); do
    if [[ -z $(left_behind) ]]; then break; fi
    sleep 0.1
  done
  equal "$1: ranks left behind" "" "$(left_behind)"
}

start "$work/killed"
mapfile -t ranks < <(pgrep -P "$parent")
equal "processes of the parent" 4 "${#ranks[@]}"
kill -9 "${ranks[2]}"
ended "a rank is killed"
equal "a rank is killed: exit code" 137 "$status"
equal "a rank is killed: lines" 1 "$(trainer_lines | wc -l)"
contains "a rank is killed" "$(trainer_lines)" "rank 2 was ended by signal 9"

start "$work/orphans"
kill -9 "$parent"
ended "the parent is killed"

for signal in TERM INT; do
  start "$work/asked-$signal"
  kill "-$signal" "$parent"
  ended "SIG$signal"
  equal "SIG$signal: exit code" 130 "$status"
  contains "SIG$signal: what it says" "$(trainer_lines)" "the same command goes on from there"
  equal "SIG$signal: lines" 1 "$(trainer_lines | wc -l)"
done

run_ranks 2 "$work/tiny.yaml"
equal "too few ranks: exit code" 2 "$status"
equal "too few ranks: lines" 1 "$(trainer_lines | wc -l)"
run_ranks 3 "$work/missing.yaml"
equal "no such recipe: exit code" 2 "$status"

status=0
mpirun -np 2 "$trainer" --ranks 2 "$work/tiny.yaml" >"$work/log" 2>&1 || status=$?
equal "under mpirun as well: exit code" 2 "$status"
contains "under mpirun as well" "$(trainer_lines)" "leave out mpirun"
equal "under mpirun as well: lines" 1 "$(trainer_lines | wc -l)"

# The device.
run_ranks 2 "$work/tiny.yaml" "device=gpu"
equal "no such device: exit code" 2 "$status"
contains "no such device" "$(trainer_lines)" "'device' must be auto, cpu, cuda or cuda:N"
if [[ ! -e /dev/nvidiactl ]]; then
  run_ranks 4 "$work/tiny.yaml" "device=cuda" ppo.placement.shared=true
  equal "no GPU: exit code" 2 "$status"
  equal "no GPU: lines" 1 "$(trainer_lines | wc -l)"
  contains "no GPU" "$(trainer_lines)" "device=cuda: 'device' asks for a GPU, but "
fi
finish
