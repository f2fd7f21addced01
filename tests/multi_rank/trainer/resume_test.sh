#!/usr/bin/env bash
# Killed with -9 at random moments of every stage, the same command goes on, and ends with the same bytes as a
# run that nobody disturbed. SIGUSR1 saves and ends.
#   resume_test.sh [KILLS]    how many times in each stage (2)
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/fixture.sh"
kills_per_stage=${1:-2}
make_data
write_recipe "$work/tiny.yaml"

run_trainer 5 "$work/tiny.yaml" "run_dir=$work/whole"
equal "an undisturbed run" 0 "$status"
[[ $status -eq 0 ]] || { cat "$work/log"; finish; }
whole=$(fingerprint "$work/whole")

# The seed of the moments is printed, so that a failure can be repeated.
seed=${RESUME_TEST_SEED:-$$}
RANDOM=$seed
echo "RESUME_TEST_SEED=$seed"

kill_some() { # one rank, or all with their launcher
  local pids
  mapfile -t pids < <(left_behind)
  [[ ${#pids[@]} -gt 0 ]] || return 0
  if ((RANDOM % 2)); then
    kill -9 "${pids[RANDOM % ${#pids[@]}]}" 2>/dev/null || true
  else
    kill -9 "$mpirun" "${pids[@]}" 2>/dev/null || true
  fi
}

start() { # start RUN_DIR: in the background
  mpirun -np 5 "$trainer" "$work/tiny.yaml" "run_dir=$1" >>"$work/log" 2>&1 &
  mpirun=$!
}

running() { kill -0 "$mpirun" 2>/dev/null; }

steps_done() { # steps_done STAGE: those that metrics.jsonl knows
  cat "$work/killed/$1/metrics.jsonl" 2>/dev/null | wc -l
}

# Waits until the run works on a stage and has made some more steps there.
wait_inside() { # wait_inside STAGE MOST_STEPS
  local folder=$work/killed/$1 wanted=$(($(steps_done "$1") + RANDOM % $2))
  while running && [[ -z $(left_behind) || ! -e $folder || $(steps_done "$1") -lt $wanted ]]; do sleep 0.005; done
}

end_of_all_ranks() {
  local i
  status=0
  wait "$mpirun" 2>/dev/null || status=$?
  for ((i = 0; i < 50; i++)); do
    if [[ -z $(left_behind) ]]; then break; fi
    sleep 0.1
  done
  equal "ranks left behind" "" "$(left_behind)"
}

unfinished() { # unfinished STAGE
  [[ ! -e $work/killed/$1/done.json ]]
}

: >"$work/log"
kills=()
declare -A steps=([tokenizer]=1 [pretrain]=48 [sft]=24 [reward]=24 [ppo]=10)
for stage in tokenizer pretrain sft reward ppo; do
  for ((i = 0; i < kills_per_stage; i++)); do
    start "$work/killed"
    wait_inside "$stage" $(((steps[$stage] + kills_per_stage - 1) / kills_per_stage))
    if running && unfinished "$stage"; then kills+=("$stage"); fi
    kill_some
    end_of_all_ranks
  done
done
start "$work/killed"
end_of_all_ranks
equal "the run ends in the end" 0 "$status"
[[ $status -eq 0 ]] || tail -n 30 "$work/log"
echo "killed in: ${kills[*]}"
equal "the same bytes as undisturbed" "$whole" "$(fingerprint "$work/killed")"

# A polite signal: the ranks save and end with 130, and the next start goes on.
: >"$work/log"
start "$work/asked"
for ((i = 0; i < 100; i++)); do
  if [[ -s $work/asked/pretrain/metrics.jsonl ]]; then break; fi
  sleep 0.1
done
kill -USR1 "$mpirun"
status=0
wait "$mpirun" || status=$?
equal "asked to end" 130 "$status"
contains "what it says" "$(trainer_lines)" "the same command goes on from there"
run_trainer 5 "$work/tiny.yaml" "run_dir=$work/asked"
equal "gone on after the signal" 0 "$status"
equal "the same bytes after the signal" "$whole" "$(fingerprint "$work/asked")"
finish
