#!/usr/bin/env bash
# slurm_run.sh TRAINER RECIPE [key=value …]: launcher/slurm/rlhf.sbatch on a real single-machine Slurm. The job is
# interrupted twice, once as by its time limit (the script's signal) and once by `scontrol requeue` as an
# administrator would; it must go on from its checkpoints both times and end with exit status 0.
#
# The recipe must save checkpoints (save_every) and train for some seconds after the first one; it gets a run_dir
# of its own. RANKS (8) and DEADLINE (300 s) may be set. Needs root, slurm-wlm and munge.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../../.." && pwd)
trainer=$(realpath "$1")
recipe=$2
shift 2

work=$(mktemp -d)
node=$work/node
run_dir=$work/run
log=$work/job.log
deadline=$((SECONDS + ${DEADLINE:-300}))

clean_up() {
  "$here/single_node.sh" stop "$node" || true
  rm -rf "$work"
}
trap clean_up EXIT

die() {
  echo "slurm_run.sh: error: $*; the job's log:" >&2
  tail -n 40 "$log" >&2 || true
  exit 1
}

# wait_for WHAT COMMAND…: until the command succeeds.
wait_for() {
  local what=$1
  shift
  until "$@"; do
    ((SECONDS < deadline)) || die "waited in vain for $what"
    if [[ $what != "the end" && $(job_state) =~ ^(COMPLETED|FAILED|CANCELLED|NODE_FAIL)$ ]]; then
      die "the job ended ($(job_state)) before $what"
    fi
    sleep 0.3
  done
}

job_field() { scontrol --oneliner show job "$job" | tr ' ' '\n' | sed -n "s/^$1=//p" | head -n 1; }
job_state() { job_field JobState; }
restarts() { job_field Restarts; }

checkpoints() { { find "$run_dir" -type d -name 'checkpoint-*' 2>/dev/null || true; } | sort; }
has_new_checkpoint() { [[ $(checkpoints) != "$1" && -n $(checkpoints) ]]; }
was_restarted() { [[ $(restarts) == "$1" && $(job_state) == RUNNING ]]; }
has_ended() { [[ $(job_state) =~ ^(COMPLETED|FAILED|CANCELLED|TIMEOUT|NODE_FAIL)$ ]]; }

# What the log holds of one start of the job (1, 2, …), and the first "done/total" that it reports.
log_of_start() { awk -v n="$1" '/^job [0-9]+, start [0-9]+:/ { now = $4 + 0 } now == n' "$log"; }
first_step() {
  log_of_start "$1" | awk 'match($0, /[0-9]+\/[0-9]+/) { print substr($0, RSTART) + 0; exit }'
}

reports_progress() { [[ -n $(first_step "$1") ]]; }

highest_checkpoint() { checkpoints | sed 's/.*checkpoint-//' | sort -n | tail -n 1; }

submit() {
  cd "$root"
  job=$(TRAINER=$trainer sbatch --parsable --ntasks="${RANKS:-8}" --output="$log" launcher/slurm/rlhf.sbatch \
    "$recipe" run_dir="$run_dir" "$@")
}

# interrupt_and_check START COMMAND…: interrupts the job's START-th start after a new checkpoint; the next start
# must not begin before the checkpoint that was there.
interrupt_and_check() {
  local start=$1 before saved
  shift
  before=$(checkpoints)
  wait_for "a checkpoint in start $start" has_new_checkpoint "$before"
  saved=$(highest_checkpoint)
  "$@" || die "could not interrupt the job: $*"
  wait_for "start $((start + 1))" was_restarted "$start"
  wait_for "progress in start $((start + 1))" reports_progress $((start + 1))
  [[ $(first_step $((start + 1))) -ge $saved ]] ||
    die "start $((start + 1)) began at step $(first_step $((start + 1))), before checkpoint $saved"
  echo "start $((start + 1)) went on from step $saved or later: first report at $(first_step $((start + 1)))"
}

"$here/single_node.sh" start "$node"
# shellcheck disable=SC1091
source "$node/env"
submit "$@"
interrupt_and_check 1 scancel --batch --signal=USR1 "$job"
interrupt_and_check 2 scontrol requeue "$job"
wait_for "the end" has_ended
[[ $(job_state) == COMPLETED && $(job_field ExitCode) == 0:0 ]] ||
  die "the job ended as $(job_state), exit code $(job_field ExitCode)"
echo "job completed with exit code $(job_field ExitCode) after $(restarts) restarts"
