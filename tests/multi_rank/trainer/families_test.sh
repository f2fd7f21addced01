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

# Losses agree to rounding.
losses() { grep -o '"loss":[0-9.]*' "$1/pretrain/metrics.jsonl" | cut -d: -f2; }
worst=$(paste <(losses "$work/one") <(losses "$work/two") |
  awk '{ d = ($1 - $2) / $1; if (d < 0) d = -d; if (d > worst) worst = d } END { print (NR >= 12 && worst < 1e-4) ? "equal" : NR " " worst }')
equal "losses of both" equal "$worst"

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
contains "an unknown family" "$(trainer_lines)" "'model_type' must be one of llama, mistral, qwen2, qwen3, gpt2, bert, t5, bart; got 'gpt3'"
run_trainer 1 "$work/gpt2.yaml" "run_dir=$work/none" model.model_type=bert
contains "an encoder" "$(trainer_lines)" "'model_type' bert is no decoder"
finish
