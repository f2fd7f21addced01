#!/usr/bin/env bash
# The same recipe under other layouts and numbers of ranks: PPO with its roles as services equals PPO in one process
# byte for byte; a run goes on under another number of ranks; DPO and rejection sampling run from its models.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/fixture.sh"
make_data
write_recipe "$work/tiny.yaml"

# Every stage in the layout of one rank, in fp32.
one_rank=(precision=fp32 pretrain.layout.data_parallel=1 pretrain.layout.tensor_parallel=1 sft.layout.data_parallel=1
  reward.layout.tensor_parallel=1 reward.layout.data_parallel=1 evaluate.layout.data_parallel=1
  ppo.placement.policy.tensor_parallel=1)
run_trainer 4 "$work/tiny.yaml" "run_dir=$work/services" "${one_rank[@]}"
equal "roles as services" 0 "$status"
contains "where the roles are" "$(<"$work/log")" "reward: rank 3, served at 127.0.0.1:"
run_trainer 1 "$work/tiny.yaml" "run_dir=$work/alone" "${one_rank[@]}" ppo.placement.shared=true
equal "everything in one process" 0 "$status"
equal "the same bytes in one process and with services" "$(fingerprint "$work/services")" "$(fingerprint "$work/alone")"

# The same stages on 4 ranks: losses agree with those of one rank.
run_trainer 4 "$work/tiny.yaml" "run_dir=$work/four" precision=fp32 ppo.placement.shared=true
equal "four ranks, roles shared" 0 "$status"
for stage in pretrain sft reward; do
  close "losses of $stage on 4 ranks" <(losses "$work/alone" "$stage") <(losses "$work/four" "$stage") 2e-4
done

# The plan is what a stage then takes: tensors on the first rank, at their most.
planned_bytes() { # planned_bytes STAGE ARGUMENT…
  "$trainer" plan "$work/tiny.yaml" --ranks 4 "run_dir=$work/four" precision=fp32 ppo.placement.shared=true "${@:2}" |
    awk -v stage="$1" '$1 == stage { unit = $NF; print $(NF - 1) * (unit == "kB" ? 1e3 : unit == "MB" ? 1e6 : 1) }'
}
measured_bytes() { # measured_bytes RUN_DIR STAGE
  tr -d ' \n' <"$1/$2/done.json" | grep -o '"peak_bytes",[0-9.e+]*' | grep -o '[0-9.e+]*$'
}
close "planned memory of pretrain" <(planned_bytes pretrain) <(measured_bytes "$work/four" pretrain) 0.02

# Copies of the model that divide optimizer state, or also gradients, and a run that goes on without that.
run_trainer 4 "$work/tiny.yaml" "run_dir=$work/zero" precision=fp32 ppo.placement.shared=true pretrain.layout.zero_stage=2 \
  sft.layout.zero_stage=1
equal "copies that divide their state" 0 "$status"
[[ $status -eq 0 ]] || tail -n 20 "$work/log"
close "planned memory with divided gradients" <(planned_bytes pretrain pretrain.layout.zero_stage=2) \
  <(measured_bytes "$work/zero" pretrain) 0.02
for stage in pretrain sft; do
  close "losses of $stage with divided state" <(losses "$work/alone" "$stage") <(losses "$work/zero" "$stage") 2e-4
done

# Begun on 4 ranks, gone on with 2 and ended on 1.
mpirun -np 4 "$trainer" "$work/tiny.yaml" "run_dir=$work/moved" precision=fp32 ppo.placement.shared=true pretrain.steps=800 \
  pretrain.save_every=20 pretrain.layout.zero_stage=1 >"$work/log" 2>&1 &
mpirun=$!
while [[ ! -e $work/moved/pretrain/checkpoint-20 ]] && kill -0 "$mpirun" 2>/dev/null; do sleep 0.02; done
kill -USR1 "$mpirun"
wait "$mpirun" || true
begun=$(wc -l <"$work/moved/pretrain/metrics.jsonl")
run_trainer 2 "$work/tiny.yaml" "run_dir=$work/moved" precision=fp32 ppo.placement.shared=true pretrain.steps=800 \
  pretrain.save_every=20 pretrain.layout.data_parallel=2 pretrain.layout.tensor_parallel=1 sft.layout.data_parallel=2 evaluate.layout.data_parallel=1
equal "goes on with other ranks" 0 "$status"
[[ $status -eq 0 ]] || tail -n 20 "$work/log"
checks=$((checks + 1))
[[ $begun -lt 800 ]] || fail "the run ended before it could be moved"
run_trainer 1 "$work/tiny.yaml" "run_dir=$work/whole" precision=fp32 ppo.placement.shared=true pretrain.steps=800 \
  pretrain.save_every=0 pretrain.layout.data_parallel=1 pretrain.layout.tensor_parallel=1 sft.layout.data_parallel=1 \
  reward.layout.tensor_parallel=1 ppo.placement.policy.tensor_parallel=1 evaluate.layout.data_parallel=1
close "first hundred losses of the moved run" <(losses "$work/whole" pretrain | head -n 100) <(losses "$work/moved" pretrain | head -n 100) 1e-3

# The other roads to an aligned model.
cat >"$work/other.yaml" <<END
name: other
model: {from: $work/alone/sft}
stages:
  - dpo: {data: $work/data/pairs.jsonl, steps: 4, global_batch_size: 8, sequence_length: 64, layout: {tensor_parallel: 2}}
  - rejection_sampling:
      from: $work/alone/sft
      reward_from: $work/alone/reward
      prompts: {path: $work/data/prompts.jsonl, max_records: 16}
      num_samples: 3
      prompt_length: 8
      response_length: 8
      global_batch_size: 8
  - evaluate:
      baseline_from: $work/alone/sft
      reward_from: $work/alone/reward
      prompts: {path: $work/data/prompts.jsonl, max_records: 8}
      prompt_length: 8
      response_length: 8
END
run_trainer 2 "$work/other.yaml" "run_dir=$work/other"
equal "DPO and rejection sampling" 0 "$status"
[[ $status -eq 0 ]] || tail -n 20 "$work/log"
contains "the summary" "$(<"$work/other/evaluate/summary.md")" "KL to"
contains "its reward" "$(<"$work/other/evaluate/summary.json")" "reward_mean"
cat >"$work/unjudged.yaml" <<END
name: unjudged
model: {from: $work/alone/sft}
stages:
  - evaluate:
      from: $work/other/dpo
      baseline_from: $work/alone/sft
      prompts: {path: $work/data/prompts.jsonl, max_records: 8}
      prompt_length: 8
      response_length: 8
END
run_trainer 1 "$work/unjudged.yaml" "run_dir=$work/unjudged"
equal "an evaluation without a reward model" 0 "$status"
[[ $status -eq 0 ]] || tail -n 20 "$work/log"
equal "no reward in its summary" 0 "$(grep -c reward "$work/unjudged/evaluate/summary.md" "$work/unjudged/evaluate/summary.json" | awk -F: '{ n += $2 } END { print n }')"

# Verbs on what is left behind.
"$trainer" validate "$work/tiny.yaml" --ranks 5 >"$work/log"
contains "validate" "$(<"$work/log")" "no problem found"
status=0
"$trainer" plan "$work/tiny.yaml" --ranks 5 --memory-gb 0.0002 >"$work/log" 2>&1 || status=$?
equal "a plan that does not fit" 2 "$status"
contains "what to change" "$(<"$work/log")" "stage 'pretrain' needs "
"$trainer" generate --model "$work/other/dpo" --prompt "The gentle" --max-new-tokens 4 --temperature 0 >"$work/log"
contains "generate" "$(<"$work/log")" "The gentle"
"$trainer" generate --model "$work/other/dpo" --prompt "The gentle" --max-new-tokens 4 --temperature 0 --precision fp32 >"$work/alone.txt"
mpirun -np 2 "$trainer" generate --model "$work/other/dpo" --prompt "The gentle" --max-new-tokens 4 --temperature 0 --precision fp32 >"$work/both.txt"
equal "generate on two ranks" "$(<"$work/alone.txt")" "$(<"$work/both.txt")"
"$trainer" export --model "$work/other/dpo" --output "$work/exported" --dtype fp32 >/dev/null
equal "export" "$(cat "$work"/other/dpo/checkpoint-*/model.safetensors | sha256sum)" "$(sha256sum <"$work/exported/model.safetensors")"
finish
