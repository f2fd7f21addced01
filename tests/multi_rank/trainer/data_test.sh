#!/usr/bin/env bash
# Data of several forms through the whole program: a blend of compressed shards and of conversations, killed and gone on
# with, on one rank and on two; bad records skipped and counted; an encoder-decoder fine-tuned.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/fixture.sh"
make_data
mkdir "$work/data/shards"
split -n l/3 -d --additional-suffix=.jsonl "$work/data/sft.jsonl" "$work/data/shards/part-"
gzip "$work"/data/shards/part-01.jsonl
awk 'NR % 3 { question = $1 " " $2; answer = substr($0, length(question) + 2)
       printf "{\"messages\": [{\"role\": \"user\", \"content\": \"%s\"}, {\"role\": \"assistant\", \"content\": \"%s\"}]}\n", question, answer }
     NR % 100 == 3 { print "{\"messages\": 3}" }' "$work/data/text.txt" >"$work/data/chats.jsonl"
cat >"$work/chat.jinja" <<'END'
{% for m in messages %}{{ m.role }}: {% if m.role == "assistant" %}{% generation %}{{ m.content }}{{ eos_token }}{% endgeneration %}{% else %}{{ m.content }}
{% endif %}{% endfor %}
END
cat >"$work/blend.yaml" <<END
name: blend
precision: fp32
messages_template: $work/chat.jinja
model: {hidden_size: 32, intermediate_size: 64, num_hidden_layers: 2, num_attention_heads: 4, num_key_value_heads: 2, max_position_embeddings: 128}
stages:
  - tokenizer: {data: $work/data/text.txt, vocab_size: 400}
  - pretrain:
      data: {sources: [{path: $work/data/text.txt, validation_fraction: 0.05}, {path: "$work/data/shards/*", text_field: completion}]}
      steps: 12
      global_batch_size: 8
      sequence_length: 48
      save_every: 4
      samples: {max_new_tokens: 4}
  - sft:
      data:
        sources:
          - {path: "$work/data/shards/*", weight: 1}
          - {path: $work/data/chats.jsonl, weight: 3, on_bad_record: skip, validation_fraction: 0.1}
      assistant_only_loss: true
      steps: 60
      global_batch_size: 8
      sequence_length: 64
      save_every: 4
      samples: {max_new_tokens: 4}
END
run_trainer 1 "$work/blend.yaml" "run_dir=$work/one"
equal "a blend on one rank" 0 "$status"
[[ $status -eq 0 ]] || { cat "$work/log"; finish; }
contains "bad records are named" "$(cat "$work/log")" "chats.jsonl:3: field 'messages' is number"
contains "and counted in the end" "$(cat "$work/one/sft/done.json")" '"skipped_records"'
contains "the template is saved with the model" "$(cat "$work"/one/sft/checkpoint-60/tokenizer_config.json)" 'endgeneration'

# The same samples, whatever the number of replicas.
run_trainer 2 "$work/blend.yaml" "run_dir=$work/two"
equal "a blend on two ranks" 0 "$status"
[[ $status -eq 0 ]] || tail -n 20 "$work/log"
for stage in pretrain sft; do
  losses "$work/one" $stage >"$work/a"
  losses "$work/two" $stage >"$work/b"
  close "losses of one rank and two in $stage" "$work/a" "$work/b" 1e-3
done

# Killed amid the second stage and started again: the same bytes.
mpirun -np 1 "$trainer" "$work/blend.yaml" "run_dir=$work/killed" >"$work/log" 2>&1 &
mpirun=$!
while kill -0 "$mpirun" 2>/dev/null && [[ $(cat "$work/killed/sft/metrics.jsonl" 2>/dev/null | wc -l) -lt 7 ]]; do sleep 0.01; done
equal "killed before its end" no "$([[ -e $work/killed/sft/done.json ]] && echo yes || echo no)"
mapfile -t pids < <(left_behind)
kill -9 "$mpirun" "${pids[@]}" 2>/dev/null || true
wait "$mpirun" 2>/dev/null || true
run_trainer 1 "$work/blend.yaml" "run_dir=$work/killed"
equal "gone on with" 0 "$status"
equal "the same bytes as undisturbed" "$(fingerprint "$work/one")" "$(fingerprint "$work/killed")"

# An encoder-decoder, fine-tuned on prompts and completions, on one rank and tensor-parallel.
cat >"$work/t5.yaml" <<END
name: t5
precision: fp32
model: {from: $root/tests/golden/data/t5_tiny}
tokenizer_from: $root/tests/golden/data/sequence_to_sequence/t5
stages:
  - sft:
      data: {path: $work/data/sft.jsonl, validation_fraction: 0.1}
      steps: 30
      global_batch_size: 8
      sequence_length: 32
      optimizer: {learning_rate: 0.01}
      samples: {count: 2, max_new_tokens: 4}
END
run_trainer 1 "$work/t5.yaml" "run_dir=$work/t5"
equal "an encoder-decoder" 0 "$status"
[[ $status -eq 0 ]] || tail -n 20 "$work/log"
losses "$work/t5" sft | grep -v '{' >"$work/a"
equal "it learns" yes "$(awk 'NR == 1 { first = $1 } { last = $1 } END { print (last < 0.8 * first) ? "yes" : first " " last }' "$work/a")"
run_trainer 2 "$work/t5.yaml" "run_dir=$work/t5tp" sft.layout.tensor_parallel=2
equal "tensor-parallel" 0 "$status"
[[ $status -eq 0 ]] || tail -n 20 "$work/log"
losses "$work/t5tp" sft | grep -v '{' >"$work/b"
close "losses of one rank and two tensor-parallel ones" "$work/a" "$work/b" 1e-3
finish
