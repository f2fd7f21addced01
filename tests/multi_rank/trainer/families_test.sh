#!/usr/bin/env bash
# A family other than Llama through the whole program: pretraining on one rank and tensor-parallel, fine-tuning, a reward
# model, export and generation; and a recipe that asks a family for what it cannot do.
source "$(dirname "${BASH_SOURCE[0]}")/fixture.sh"
make_data
cat >"$work/gpt2.yaml" <<END
name: gpt2
precision: fp32
model: {model_type: gpt2, hidden_size: 32, intermediate_size: 64, num_hidden_layers: 2, num_attention_heads: 4, max_position_embeddings: 128}
stages:
  - tokenizer: {data: $work/data/text.txt, vocab_size: 401}
  - pretrain:
      data: $work/data/text.txt
      steps: 12
      global_batch_size: 8
      sequence_length: 48
      optimizer: {learning_rate: 0.003}
      samples: {max_new_tokens: 4}
      layout: {data_parallel: 1}
  - reward: {data: $work/data/pairs.jsonl, steps: 4, global_batch_size: 8, sequence_length: 64, layout: {data_parallel: 1}}
END
run_trainer 1 "$work/gpt2.yaml" "run_dir=$work/one"
equal "one rank" 0 "$status"
[[ $status -eq 0 ]] || tail -n 20 "$work/log"
run_trainer 2 "$work/gpt2.yaml" "run_dir=$work/two" pretrain.layout.tensor_parallel=2 reward.layout.tensor_parallel=2
equal "two tensor-parallel ranks" 0 "$status"
[[ $status -eq 0 ]] || tail -n 20 "$work/log"
run_trainer 2 "$work/gpt2.yaml" "run_dir=$work/pp2" pretrain.layout.pipeline_parallel=2 reward.layout.pipeline_parallel=2
equal "two stages of a pipeline" 0 "$status"
[[ $status -eq 0 ]] || tail -n 20 "$work/log"

# Samples that would be longer than the model has positions do not end a run.
cat >"$work/positions.yaml" <<END
name: positions
model: {from: $work/one/pretrain}
stages:
  - sft: {data: $work/data/sft.jsonl, steps: 2, global_batch_size: 8, sequence_length: 64, samples: {count: 2, max_new_tokens: 127}}
END
run_trainer 1 "$work/positions.yaml" "run_dir=$work/positions"
equal "samples up to the last position" "0 2" "$status $(wc -l <"$work/positions/sft/samples.jsonl")"

# Losses agree to rounding.
losses() { grep -o '"loss":[0-9.]*' "$1/pretrain/metrics.jsonl" | cut -d: -f2; }
for run in two pp2; do
  worst=$(paste <(losses "$work/one") <(losses "$work/$run") |
    awk '{ d = ($1 - $2) / $1; if (d < 0) d = -d; if (d > worst) worst = d } END { print (NR >= 12 && worst < 1e-4) ? "equal" : NR " " worst }')
  equal "losses of one rank and $run" equal "$worst"
done

contains "config.json" "$(cat "$work"/two/pretrain/checkpoint-12/config.json)" '"GPT2LMHeadModel"'
contains "the reward model's config.json" "$(cat "$work"/two/reward/checkpoint-*/config.json)" '"GPT2ForSequenceClassification"'
generate() { "$trainer" generate --model "$1" --prompt "The gentle" --max-new-tokens 6 --temperature 0 --precision fp32; }
equal "generation" "$(generate "$work/one/pretrain")" "$(generate "$work/two/pretrain")"
contains "generation goes on from the prompt" "$(generate "$work/two/pretrain")" "The gentle"
"$trainer" export --model "$work/two/pretrain" --output "$work/exported" --dtype fp32 >/dev/null
equal "export" "$(sha256sum <"$work/two/pretrain/checkpoint-12/model.safetensors")" "$(sha256sum <"$work/exported/model.safetensors")"

run_trainer 1 "$work/gpt2.yaml" "run_dir=$work/none" model.num_key_value_heads=2
contains "a key of another family" "$(trainer_lines)" "unknown key 'num_key_value_heads'"
run_trainer 1 "$work/gpt2.yaml" "run_dir=$work/none" model.model_type=gpt3
contains "an unknown family" "$(trainer_lines)" "'model_type' must be one of llama, mistral, qwen2, qwen3, gemma, gpt2, bert, t5, bart; got 'gpt3'"
run_trainer 1 "$work/gpt2.yaml" "run_dir=$work/none" model.model_type=bert
contains "an encoder with a reward model" "$(trainer_lines)" "'model_type' bert is no decoder"
run_trainer 1 "$work/gpt2.yaml" "run_dir=$work/none" pretrain.objective=masked
contains "a decoder that is to find hidden tokens" "$(trainer_lines)" "a gpt2 cannot be trained on the objective 'masked'; use 'causal'"

# Encoders and encoder-decoders learn from texts with noise, with the same losses on two replicas, on two
# tensor-parallel ranks, on two that divide texts, and in pipelines: two stages, or four parts on two ranks, of which an encoder-decoder has two
# in its encoder.
write_noise_recipe() { # write_noise_recipe FAMILY OBJECTIVE TOKENS SIZES
  cat >"$work/$1.yaml" <<END
name: $1
precision: fp32
model: {model_type: $1, hidden_size: 32, intermediate_size: 64, num_attention_heads: 4, num_hidden_layers: 2, $4}
stages:
  - tokenizer: {data: $work/data/text.txt, vocab_size: 400, $3}
  - pretrain:
      data: {path: $work/data/text.txt, validation_fraction: 0.05}
      objective: $2
      steps: 24
      global_batch_size: 8
      micro_batch_size: 2
      sequence_length: 48
      optimizer: {learning_rate: 0.003}
      eval_every: 12
      samples: {max_new_tokens: 4}
      layout: {data_parallel: 1}
END
}
write_noise_recipe bert masked 'special_tokens: [<mask>]' 'max_position_embeddings: 64'
write_noise_recipe t5 span_corruption 'extra_ids: 16' 'num_decoder_layers: 2, head_dim: 8'
write_noise_recipe bart infilling 'special_tokens: [<mask>]' 'num_decoder_layers: 2, decoder_intermediate_size: 64, max_position_embeddings: 64'
for family in bert t5 bart; do
  layouts=("one 1 data_parallel=1" "dp2 2 data_parallel=2" "tp2 2 tensor_parallel=2" "pp2 2 pipeline_parallel=2" "cp2 2 context_parallel=2")
  [[ $family == bert ]] || layouts+=("chunks 2 pipeline_parallel=2 virtual_stages=2")
  for layout in "${layouts[@]}"; do
    read -r name ranks change more <<<"$layout"
    run_trainer "$ranks" "$work/$family.yaml" "run_dir=$work/$family-$name" "pretrain.layout.$change" ${more:+"pretrain.layout.$more"}
    equal "$family $name" 0 "$status"
    [[ $status -eq 0 ]] || tail -n 20 "$work/log"
  done
  for layout in "${layouts[@]:1}"; do
    name=${layout%% *}
    worst=$(paste <(losses "$work/$family-one") <(losses "$work/$family-$name") |
      awk '{ d = ($1 - $2) / $1; if (d < 0) d = -d; if (d > worst) worst = d; if (NR == 1) first = $1; last = $1 }
           END { print (NR >= 24 && worst < 1e-4 && last < first) ? "equal, and falls" : NR " " worst " " first " " last }')
    equal "losses of $family $name" "equal, and falls" "$worst"
    [[ $family == bert ]] || equal "samples of $family $name" "$(cat "$work/$family-one/pretrain/samples.jsonl")" \
      "$(cat "$work/$family-$name/pretrain/samples.jsonl")"
  done
done
contains "what T5 is asked" "$(cat "$work"/t5-one/pretrain/samples.jsonl)" "<extra_id_0>"
contains "what BART is asked" "$(cat "$work"/bart-one/pretrain/samples.jsonl)" "<mask>"

# Where texts fill their sequences, both of T5's take the memory that was planned.
tr '\n' ' ' <"$work/data/text.txt" >"$work/data/one.txt"
full=("run_dir=$work/t5-full" pretrain.layout.context_parallel=4 "pretrain.data.path=$work/data/one.txt" pretrain.data.validation_fraction=0
  pretrain.steps=4 pretrain.samples.count=0)
run_trainer 4 "$work/t5.yaml" "${full[@]}"
close "planned memory of T5" <(planned_peak pretrain "$work/t5.yaml" "${full[@]}") <(taken_peak pretrain "$work/t5-full") 0.02

run_trainer 1 "$work/bert.yaml" "run_dir=$work/none" "tokenizer.special_tokens=[]"
contains "no mask token" "$(trainer_lines)" "add <mask> to the tokenizer stage's special_tokens"
finish
