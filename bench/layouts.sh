#!/usr/bin/env bash
# Do predicted times put layouts into the order of measured ones? Runs a small recipe under several layouts on ranks of
# this machine, predicts the same from a second's measurements of it (trainer plan --device cpu), and prints both orders.
#
#   bench/layouts.sh                two and four ranks, three rounds
#   ROUNDS=5 bench/layouts.sh 2     two ranks, five rounds
#
# Rounds go through all layouts in turn; a layout's time is the median of its steps over all rounds. Two layouts are tied
# where the ranges of their rounds' medians overlap: the machine does not tell which is faster. The orders agree when every
# pair of one of the five fastest with any other layout that is not tied is predicted in the measured order. Exit code 1
# where they do not. Writes bench/results/layouts-N-ranks-DATE.json. Wants a machine without other work.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
rounds=${ROUNDS:-3}
trainer=${TRAINER:-./trainer}
recipe=bench/layouts/llama.yaml
[[ -x $trainer ]] || { echo "layouts.sh: $trainer is not built" >&2; exit 2; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# The layouts of so many ranks, one a line: keys of the stage without their "pretrain.".
layouts() {
  local n=$1
  cat <<END
layout.data_parallel=$n micro_batch_size=$((16 / n))
layout.data_parallel=$n layout.zero_stage=1 micro_batch_size=$((16 / n))
layout.data_parallel=$n layout.zero_stage=2 micro_batch_size=1
layout.data_parallel=$n layout.zero_stage=3 micro_batch_size=2
layout.data_parallel=$n micro_batch_size=$((16 / n)) recompute=full
layout.tensor_parallel=$n micro_batch_size=16
layout.tensor_parallel=$n layout.sequence_parallel=true micro_batch_size=4
layout.context_parallel=$n micro_batch_size=16
layout.pipeline_parallel=$n micro_batch_size=4
layout.pipeline_parallel=$n micro_batch_size=1
END
  if ((n == 4)); then
    echo "layout.data_parallel=2 layout.tensor_parallel=2 micro_batch_size=8"
    echo "layout.data_parallel=2 layout.pipeline_parallel=2 micro_batch_size=2"
  fi
}

# shellcheck disable=SC2086
keys_of() { printf 'pretrain.%s ' $1; }

# Seconds of an update that the plan's second table shows.
predicted() {
  # shellcheck disable=SC2046
  "$trainer" plan "$recipe" --ranks "$1" --device "$2" run_dir="$work/plan" $(keys_of "$3") |
    awk '/^updates on/ { at = index($0, "       time"); next }
         at { split(substr($0, at - 1, 12), field, " ")
              print field[1] * (field[2] == "ms" ? 1e-3 : field[2] == "us" ? 1e-6 : 1) }'
}

# The median of the seconds of a run's updates but the first two.
measured() {
  rm -rf "$work/run"
  # shellcheck disable=SC2046
  "$trainer" --ranks "$1" "$recipe" run_dir="$work/run" $(keys_of "$2") >"$work/log" 2>&1 || { tail -3 "$work/log" >&2; exit 3; }
  sed -n 's/.*"seconds":\([0-9.e-]*\).*/\1/p' "$work/run/pretrain/timings.jsonl" |
    awk 'NR > 2 { print $1 - before } { before = $1 }' | sort -g | awk '{ x[NR] = $1 } END { print x[int((NR + 1) / 2)] }'
}

status=0
for ranks in "${@:-2 4}"; do for n in $ranks; do
  "$trainer" plan "$recipe" --ranks "$n" --device cpu --save-device "$work/device.yaml" run_dir="$work/plan" >/dev/null
  layouts "$n" | while read -r line; do echo "$(predicted "$n" "$work/device.yaml" "$line") $line"; done >"$work/predicted"
  : >"$work/measured"
  for ((round = 0; round < rounds; ++round)); do
    layouts "$n" | while read -r line; do
      echo "$n ranks, round $((round + 1)): $line" >&2
      echo "$(measured "$n" "$line" </dev/null) $line" >>"$work/measured"
    done
  done
  result=bench/results/layouts-$n-ranks-$(date +%Y-%m-%d).json
  awk -v ranks="$n" -v result="$result" -f bench/layouts/compare.awk "$work/predicted" "$work/measured" || status=1
done; done
exit $status
