#!/usr/bin/env bash
# Stages of training as pipelines: the same losses, samples and weights as on one rank, the memory that was planned, and
# runs that go on where they were killed and under other layouts.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/fixture.sh"
make_data
write_training_recipe "$work/pipeline.yaml" 5 "{pipeline_parallel: 2, data_parallel: 2}" \
  "{pipeline_parallel: 2, tensor_parallel: 2}" \
  "{pipeline_parallel: 4}" \
  "{pipeline_parallel: 2, data_parallel: 2, zero_stage: 1}"
one_rank=()
for stage in pretrain sft reward dpo; do
  one_rank+=("$stage.layout.pipeline_parallel=1" "$stage.layout.data_parallel=1" "$stage.layout.tensor_parallel=1")
done
run_trainer 1 "$work/pipeline.yaml" "run_dir=$work/one" "${one_rank[@]}" dpo.layout.zero_stage=0
equal "one rank" 0 "$status"
[[ $status -eq 0 ]] || tail -n 20 "$work/log"
run_trainer 4 "$work/pipeline.yaml" "run_dir=$work/four"
equal "pipelines on four ranks" 0 "$status"
[[ $status -eq 0 ]] || tail -n 20 "$work/log"
run_trainer 2 "$work/pipeline.yaml" "run_dir=$work/chunks" "${one_rank[@]}" dpo.layout.zero_stage=0 \
  pretrain.layout.pipeline_parallel=2 pretrain.layout.virtual_stages=2 sft.layout.pipeline_parallel=2 \
  sft.layout.pipeline_schedule=gpipe sft.layout.virtual_stages=2
equal "chunks of stages" 0 "$status"
[[ $status -eq 0 ]] || tail -n 20 "$work/log"

for run in four chunks; do
  for stage in pretrain sft reward dpo; do
    close "losses of $stage in $run" <(losses "$work/one" "$stage") <(losses "$work/$run" "$stage") 2e-4
  done
  for stage in pretrain sft; do
    equal "samples of $stage in $run" "$(<"$work/one/$stage/samples.jsonl")" "$(<"$work/$run/$stage/samples.jsonl")"
  done
done
names() { head -c 20000 "$1"/pretrain/checkpoint-24/model.safetensors | grep -ao '"model\.[a-z_0-9.]*"' | sort; }
equal "tensors of the checkpoint" "$(names "$work/one")" "$(names "$work/four")"

goes_on_after_a_kill "$work/pipeline.yaml" "$work/four"

# Begun as a pipeline, ended tensor-parallel.
alone=("${one_rank[@]}" dpo.layout.zero_stage=0)
goes_on_tensor_parallel "$work/pipeline.yaml" alone 2 "${alone[@]}" pretrain.layout.pipeline_parallel=2

# The plan is what the first rank takes, where texts fill their sequences.
tr '\n' ' ' <"$work/data/text.txt" >"$work/data/one.txt"
for change in virtual_stages=1 pipeline_schedule=gpipe virtual_stages=2; do
  rm -rf "$work/planned"
  keys=("run_dir=$work/planned" pretrain.layout.data_parallel=1 "pretrain.layout.$change" pretrain.steps=4 pretrain.eval_every=4
    "pretrain.data.path=$work/data/one.txt" pretrain.data.validation_fraction=0)
  mkdir -p "$work/planned"
  cp -r "$work/one/tokenizer" "$work/planned/"
  run_trainer 4 "$work/pipeline.yaml" "${keys[@]}" sft.steps=1 reward.steps=1 dpo.steps=1
  close "planned memory with $change" \
    <(planned_peak pretrain "$work/pipeline.yaml" "${keys[@]}") <(taken_peak pretrain "$work/planned") 0.02
done

# The picture in the documentation is what the program draws.
"$trainer" plan docs/pictures/schedules.yaml --ranks 4 --plot "$work/schedules.svg" >/dev/null
equal "docs/pictures/schedules.svg" "$(sha256sum <"docs/pictures/schedules.svg")" "$(sha256sum <"$work/schedules.svg")"

# What no pipeline can be is one line before anything begins.
refused "$work/pipeline.yaml" "a pipeline of 8 parts (pipeline_parallel 4 x virtual_stages 2) needs as many blocks, but the model has 5" \
  reward.layout.virtual_stages=2
refused "$work/pipeline.yaml" "'virtual_stages' 2 is not available for dpo" dpo.layout.virtual_stages=2
refused "$work/pipeline.yaml" "needs a multiple of pipeline_parallel 2 as number of micro-batches, but a step has 1" \
  pretrain.layout.virtual_stages=2 pretrain.micro_batch_size=8
finish
