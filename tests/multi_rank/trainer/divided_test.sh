#!/usr/bin/env bash
# Stages whose ranks divide tokens and parameters: sequence and context parallelism and ZeRO stage 3 give the losses and
# samples of one rank, take the memory that was planned, and go on where they were killed and under other layouts.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/fixture.sh"
make_data
write_training_recipe "$work/divided.yaml" 4 "{data_parallel: 2, context_parallel: 2, zero_stage: 3}" \
  "{data_parallel: 2, tensor_parallel: 2, sequence_parallel: true, zero_stage: 3}" \
  "{context_parallel: 2, tensor_parallel: 2, sequence_parallel: true}" \
  "{data_parallel: 2, context_parallel: 2, zero_stage: 3}"
one_rank=()
for stage in pretrain sft reward dpo; do
  one_rank+=("$stage.layout.data_parallel=1" "$stage.layout.context_parallel=1" "$stage.layout.tensor_parallel=1")
done
run_trainer 1 "$work/divided.yaml" "run_dir=$work/one" "${one_rank[@]}"
equal "one rank" 0 "$status"
[[ $status -eq 0 ]] || tail -n 20 "$work/log"
run_trainer 4 "$work/divided.yaml" "run_dir=$work/four"
equal "four ranks" 0 "$status"
[[ $status -eq 0 ]] || tail -n 20 "$work/log"
for stage in pretrain sft reward dpo; do
  close "losses of $stage" <(losses "$work/one" "$stage") <(losses "$work/four" "$stage") 2e-4
done
for stage in pretrain sft dpo; do
  equal "samples of $stage" "$(<"$work/one/$stage/samples.jsonl")" "$(<"$work/four/$stage/samples.jsonl")"
done

goes_on_after_a_kill "$work/divided.yaml" "$work/four"
goes_on_after_a_kill "$work/divided.yaml" "$work/four" dpo/checkpoint-3

# Begun with everything divided, ended on two ranks that divide matrices.
goes_on_tensor_parallel "$work/divided.yaml" one_rank 4

# The plan is what the first rank takes, where texts fill their sequences.
tr '\n' ' ' <"$work/data/text.txt" >"$work/data/one.txt"
paste -d ' ' - - - - - - - - - - - - <"$work/data/text.txt" |
  awk 'NR % 2 { first = $0; next } { printf "{\"prompt\": \"\", \"chosen\": \"%s\", \"rejected\": \"%s\"}\n", first, $0 }' >"$work/data/long.jsonl"
planned_is_taken() { # planned_is_taken STAGE CHANGE…
  rm -rf "$work/planned"
  local keys=("run_dir=$work/planned" "${one_rank[@]}" pretrain.steps=4 pretrain.eval_every=4 "pretrain.data.path=$work/data/one.txt"
    pretrain.data.validation_fraction=0 pretrain.samples.count=0 sft.steps=1 reward.steps=2 dpo.steps=2 dpo.samples.count=0
    "reward.data.path=$work/data/long.jsonl" "dpo.data.path=$work/data/long.jsonl" "${@:2}")
  mkdir -p "$work/planned"
  cp -r "$work/one/tokenizer" "$work/planned/"
  run_trainer 4 "$work/divided.yaml" "${keys[@]}"
  close "planned memory of $*" \
    <(planned_peak "$1" "$work/divided.yaml" "${keys[@]}") <(taken_peak "$1" "$work/planned") 0.02
}
planned_is_taken pretrain pretrain.layout.data_parallel=4 pretrain.layout.zero_stage=3
planned_is_taken pretrain pretrain.layout.context_parallel=4 pretrain.layout.zero_stage=0
planned_is_taken pretrain pretrain.layout.tensor_parallel=2 pretrain.layout.data_parallel=2 pretrain.layout.sequence_parallel=true
planned_is_taken reward reward.layout.context_parallel=4
planned_is_taken dpo dpo.layout.context_parallel=4

# Samples that are differentiated one by one give the same bits, whoever has them.
same=("${one_rank[@]}" pretrain.reproducible=layout pretrain.layout.zero_stage=0 pretrain.layout.data_parallel)
run_trainer 1 "$work/divided.yaml" "run_dir=$work/same1" "${same[@]}=1" pretrain.micro_batch_size=16
run_trainer 4 "$work/divided.yaml" "run_dir=$work/same4" "${same[@]}=4" pretrain.micro_batch_size=1
equal "the same bits on one rank and on four" "$(fingerprint "$work/same1")" "$(fingerprint "$work/same4")"
close "their losses are those of any run" <(losses "$work/one" pretrain) <(losses "$work/same4" pretrain) 2e-4

# What cannot be divided is one line before anything begins.
refused "$work/divided.yaml" "'reproducible: layout' needs whole gradients of whole samples" pretrain.reproducible=layout
finish
