#!/usr/bin/env bash
# Classifiers and embedding models through the whole program: the same losses under every layout, runs that go on after
# a signal, what can be done with the results, and what is wrong with data and models in one line.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/fixture.sh"
make_data
awk '{ label = length($0) > 60 ? "long" : "short"
       tags = / a / ? "\"a\"" : ""
       printf "{\"text\": \"%s\", \"label\": \"%s\", \"tags\": [%s], \"length\": %d}\n", $0, label, tags, length($0) }' \
  "$work/data/text.txt" >"$work/data/labels.jsonl"
awk '{ n = split($0, w, " "); printf "{\"anchor\": \"%s %s\", \"positive\": \"%s\", \"negative\": \"%s\"}\n", w[1], w[2], $0, w[n] }' \
  "$work/data/text.txt" >"$work/data/pairs3.jsonl"

write_text_recipe() { # write_text_recipe FAMILY SIZES
  cat >"$work/$1.yaml" <<END
name: $1
precision: fp32
model: {model_type: $1, hidden_size: 32, intermediate_size: 64, num_hidden_layers: 2, num_attention_heads: 4, max_position_embeddings: 64$2}
stages:
  - tokenizer: {data: $work/data/text.txt, vocab_size: 400}
  - classify:
      data: {path: $work/data/labels.jsonl, validation_fraction: 0.1}
      labels: [short, long]
      steps: 20
      global_batch_size: 8
      sequence_length: 48
      optimizer: {learning_rate: 0.003}
      eval_every: 10
      save_every: 5
      layout: {data_parallel: 1}
  - contrastive:
      data: {path: $work/data/pairs3.jsonl, validation_fraction: 0.1, negative_field: negative}
      steps: 20
      global_batch_size: 8
      sequence_length: 48
      optimizer: {learning_rate: 0.003}
      eval_every: 10
      save_every: 5
      layout: {data_parallel: 1}
END
}

write_text_recipe bert ""
write_text_recipe llama ", num_key_value_heads: 2"
for family in bert llama; do
  for layout in "one 1 data_parallel=1" "micro 1 data_parallel=1 micro_batch_size=2" "dp2 2 data_parallel=2" \
    "zero2 2 data_parallel=2 layout.zero_stage=2" "zero3 2 data_parallel=2 layout.zero_stage=3" "tp2 2 tensor_parallel=2" \
    "sp2 2 tensor_parallel=2 layout.sequence_parallel=true" "pp2 2 pipeline_parallel=2" "cp2 2 context_parallel=2"; do
    read -r name ranks change more <<<"$layout"
    run_trainer "$ranks" "$work/$family.yaml" "run_dir=$work/$family-$name" "classify.layout.$change" \
      "contrastive.layout.$change" ${more:+"classify.$more" "contrastive.$more"}
    equal "$family $name" 0 "$status"
    [[ $status -eq 0 ]] || tail -n 20 "$work/log"
    for stage in classify contrastive; do
      close "losses of $family $stage $name" <(losses "$work/$family-one" "$stage") <(losses "$work/$family-$name" "$stage") 1e-4
    done
  done
  for stage in classify contrastive; do
    checks=$((checks + 1))
    grep -o '"loss":[0-9.]*' "$work/$family-one/$stage/metrics.jsonl" | cut -d : -f 2 |
      awk 'NR <= 5 { first += $1 } NR > 15 { end += $1 } END { exit !(NR == 20 && end < first) }' ||
      fail "the loss of $family $stage does not fall"
  done
done
contains "a classifier's config.json" "$(cat "$work"/bert-tp2/classify/checkpoint-20/config.json)" '"BertForSequenceClassification"'
contains "its labels" "$(cat "$work"/llama-one/classify/checkpoint-20/config.json | tr -d ' \n')" '"id2label":{"0":"short","1":"long"}'
contains "modules of an embedding model" "$(cat "$work"/bert-one/contrastive/checkpoint-20/modules.json)" "models.Normalize"

# Other kinds of problems; a classifier goes on with the labels that it has.
run_trainer 1 "$work/bert.yaml" "run_dir=$work/tags" classify.labels='[a, b, c]' classify.data.label_field=tags \
  classify.problem_type=multi_label_classification contrastive.steps=1
equal "several labels" 0 "$status"
run_trainer 1 "$work/bert.yaml" "run_dir=$work/length" classify.labels='[length]' classify.data.label_field=length \
  classify.problem_type=regression contrastive.steps=1
equal "regression" 0 "$status"
sed '/tokenizer:/d; /contrastive:/,$d; /labels:/d' "$work/bert.yaml" | sed "s#^model:.*#model: {from: $work/bert-one/classify}#" >"$work/again.yaml"
run_trainer 1 "$work/again.yaml" "run_dir=$work/again"
equal "a classifier that goes on" 0 "$status"
[[ $status -eq 0 ]] || tail -n 20 "$work/log"

# Asked to end in the middle, then under another layout.
long=(classify.steps=400 contrastive.steps=1 contrastive.layout.data_parallel=1)
interrupted_at classify/checkpoint-10 400 2 "$work/bert.yaml" "${long[@]}" classify.layout.data_parallel=2
moved_to_tensor_parallel "$work/bert.yaml" "${long[@]}" classify.layout.tensor_parallel=2

# The verb.
head -n 40 "$work/data/text.txt" >"$work/corpus.txt"
embed() { "$trainer" embed --model "$work/bert-tp2/contrastive" --input "$work/corpus.txt" "$@"; }
query=$(sed -n 7p "$work/corpus.txt")
contains "the text itself is the closest" "$(embed --query "$query" --top 1)" "1.000  $work/corpus.txt:7  $query"
equal "lines of an answer" 4 "$(embed --query "$query" --top 3 | wc -l)"
embed --output "$work/out.jsonl" >/dev/null
equal "embeddings in JSON lines" 40 "$(grep -c '^{"text":".*","embedding":\[.*\]}$' "$work/out.jsonl")"
timeout 60 mpirun -np 2 "$trainer" embed --model "$work/bert-tp2/contrastive" --input "$work/corpus.txt" --output "$work/two.safetensors" >/dev/null
contains "embeddings in safetensors" "$(head -c 200 "$work/two.safetensors" | tr -d '\0')" '"shape":[40,32]'
"$trainer" export --model "$work/bert-tp2/contrastive" --output "$work/exported" --dtype fp32 >/dev/null
equal "an exported model embeds the same" "$(embed --query "$query")" \
  "$("$trainer" embed --model "$work/exported" --input "$work/corpus.txt" --query "$query")"
"$trainer" export --model "$work/bert-one/classify" --output "$work/exported_classifier" --dtype fp32 >/dev/null
contains "an exported classifier keeps its labels" "$(cat "$work/exported_classifier/config.json")" '"short"'

# refused WHAT LINE COMMAND…
refused() {
  local what=$1 line=$2
  shift 2
  status=0
  "$@" >"$work/log" 2>&1 || status=$?
  equal "$what: exit code" 2 "$status"
  equal "$what: number of lines" 1 "$(trainer_lines | wc -l)"
  contains "$what" "$(trainer_lines)" "$line"
}
classify() { "$trainer" "$work/bert.yaml" "run_dir=$work/bad$RANDOM" contrastive.steps=1 classify.steps=1 "$@"; }
printf '{"text": "a b", "label": "short"}\n{"text": "c d", "label": "huge"}\n' >"$work/data/unknown.jsonl"
refused "unknown label" "unknown.jsonl:2: label 'huge' is not one of short, long" classify "classify.data.path=$work/data/unknown.jsonl"
printf '{"text": "a b", "label": 0}\n{"text": "c d", "label": 2}\n' >"$work/data/range.jsonl"
refused "label out of range" "range.jsonl:2: label 2 is not one of the 2 labels 0 to 1" classify "classify.data.path=$work/data/range.jsonl"
printf '{"text": "a b"}\n' >"$work/data/missing.jsonl"
refused "missing label" "missing.jsonl:1: no field 'label' (there is 'text'); add it, or name the right one with label_field" \
  classify "classify.data.path=$work/data/missing.jsonl"
refused "missing positive" "labels.jsonl:1: no field 'positive'" "$trainer" "$work/bert.yaml" "run_dir=$work/bert-one2" \
  classify.steps=1 "contrastive.data.path=$work/data/labels.jsonl" contrastive.data.anchor_field=text
refused "a family without such a head" "which has no head for whole texts" classify model.model_type=bart
refused "another number of labels" "has 3 labels, but the classifier it starts from has 2 (short, long)" \
  "$trainer" "$work/again.yaml" "run_dir=$work/none" classify.labels='[a, b, c]'
refused "a language model's text from an embedding model" "without a language-model head" \
  "$trainer" generate --model "$work/bert-one/contrastive" --prompt x
printf 'one\n\n' >"$work/short.txt"
refused "nothing to do" "nothing to do: name a file with --output" "$trainer" embed --model "$work/exported" --input "$work/short.txt"
refused "another kind of file" "must end in .safetensors or .jsonl" embed --output "$work/out.npy"
refused "no such file" "no such file" "$trainer" embed --model "$work/exported" --input "$work/none.txt" --query x
refused "too long" "the model reads 64 tokens at most, not 65" embed --query x --max-length 65
finish
