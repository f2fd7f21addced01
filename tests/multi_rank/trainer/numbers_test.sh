#!/usr/bin/env bash
# Numbers of 16 and 8 bits through whole runs: fp16 with its loss scale, bf16 without masters and fp8 with its scales go on
# after a kill with the same bytes, a scale that is too large leaves updates out on all ranks alike; and what is kept for backward changes no bit.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/fixture.sh"
make_data
write_training_recipe "$work/numbers.yaml" 2 "{data_parallel: 4, zero_stage: 2}" "{data_parallel: 2, tensor_parallel: 2}" \
  "{data_parallel: 4, zero_stage: 1}" "{pipeline_parallel: 2, data_parallel: 2}"

# Runs the recipe under the name of a folder, with the keys.
trained() { # trained FOLDER KEY…
  run_trainer 4 "$work/numbers.yaml" "run_dir=$work/$1" "${@:2}"
  equal "$1" 0 "$status"
  [[ $status -eq 0 ]] || tail -n 20 "$work/log"
}
trained fp32

# fp16: from a scale that overflows at first.
sed 's/^precision: .*/precision: fp16/; s/^\( *\)steps: 24/&\n\1loss_scale: {initial: 1.0e+9, growth_interval: 4}/' \
  "$work/numbers.yaml" >"$work/fp16.yaml"
run_trainer 4 "$work/fp16.yaml" "run_dir=$work/fp16"
equal "fp16" 0 "$status"
contains "updates were left out" "$(head -n 1 "$work/fp16/pretrain/metrics.jsonl")" '"skipped_steps":1'
for stage in sft reward dpo; do
  contains "$stage has a scale" "$(tail -n 1 "$work/fp16/$stage/metrics.jsonl")" '"loss_scale":'
done
goes_on_after_a_kill "$work/fp16.yaml" "$work/fp16"

# bf16 alone: random rounding goes on too.
sed 's/^precision: .*/precision: bf16/; s/optimizer: {/optimizer: {master_weights: false, gradient_reduce_dtype: bf16, /' \
  "$work/numbers.yaml" >"$work/bf16.yaml"
run_trainer 4 "$work/bf16.yaml" "run_dir=$work/bf16"
equal "bf16 without masters" 0 "$status"
close "losses of bf16" <(losses "$work/fp32" pretrain) <(losses "$work/bf16" pretrain) 0.05
goes_on_after_a_kill "$work/bf16.yaml" "$work/bf16"

# fp8: scales are state, of every layout's runs and of layouts that go on.
sed 's/^precision: .*/precision: fp8/' "$work/numbers.yaml" >"$work/fp8.yaml"
run_trainer 4 "$work/fp8.yaml" "run_dir=$work/fp8"
equal "fp8" 0 "$status"
close "losses of fp8" <(losses "$work/fp32" pretrain) <(losses "$work/fp8" pretrain) 0.05
goes_on_after_a_kill "$work/fp8.yaml" "$work/fp8"
# The plan is what the first rank takes, where texts fill their sequences.
tr '\n' ' ' <"$work/data/text.txt" >"$work/data/one.txt"
for scaling in delayed current; do
  keys=(pretrain.steps=4 pretrain.eval_every=4 "pretrain.data.path=$work/data/one.txt" pretrain.data.validation_fraction=0
    pretrain.samples.count=0 "pretrain.fp8.scaling=$scaling" pretrain.layout.zero_stage=0 sft.steps=1 reward.steps=1 dpo.steps=1)
  mkdir -p "$work/$scaling"
  cp -r "$work/fp8/tokenizer" "$work/$scaling/"
  run_trainer 4 "$work/fp8.yaml" "run_dir=$work/$scaling" "${keys[@]}"
  close "planned memory of fp8, $scaling" \
    <(planned_peak pretrain "$work/fp8.yaml" "run_dir=$work/$scaling" "${keys[@]}") \
    <(taken_peak pretrain "$work/$scaling") 0.02
done

# What is kept for backward.
for recompute in selective full; do
  trained "$recompute" "pretrain.recompute=$recompute" "sft.recompute=$recompute" "reward.recompute=$recompute" \
    "dpo.recompute=$recompute"
  equal "the same bytes with recompute: $recompute" "$(fingerprint "$work/fp32")" "$(fingerprint "$work/$recompute")"
done
trained offload pretrain.offload_activations=true pretrain.optimizer.offload=true
equal "the same bytes where there is nothing to offload to" "$(fingerprint "$work/fp32")" "$(fingerprint "$work/offload")"
finish
