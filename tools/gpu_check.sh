#!/usr/bin/env bash
# gpu_check.sh [--device DEVICE] [--tiny] [--output FILE]: what a machine's GPU does with Tandem, in less than ten
# minutes: the tests that need a card, a small run beside the same run on the CPU, and benchmarks, beside PyTorch where
# PEER_PYTHON (or python3) has it. Writes one JSON document; a part that cannot run is in it with the reason.
#
# Works in a bundle (tools/bundle.sh --tests), which needs nothing but a driver, and in a checkout, which it builds.
#
#   --device    cuda:0, or cpu, to try the script itself where there is no GPU
#   --tiny      sizes that take seconds, for the same purpose
#   --output    gpu_check.json
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

device=cuda:0
tiny=
output=gpu_check.json
while [[ $# -gt 0 ]]; do
  case $1 in
    --device | --output)
      [[ $# -gt 1 ]] || { echo "gpu_check.sh: $1 needs a value" >&2; exit 2; }
      if [[ $1 == --device ]]; then device=$2; else output=$2; fi
      shift
      ;;
    --tiny) tiny=1 ;;
    *) echo "gpu_check.sh: unknown argument $1 (there are --device, --tiny, --output)" >&2; exit 2 ;;
  esac
  shift
done

# No part begins after this many seconds, and none takes longer than the rest.
budget=540
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
parts=$work/parts
: >"$parts"

text() { # a JSON string of the first argument
  local s=${1//\\/\\\\}
  s=${s//\"/\\\"}
  s=${s//$'\t'/ }
  printf '"%s"' "${s//$'\n'/ }"
}

note() { echo "gpu_check.sh: $*" >&2; }

skip() { # skip PART WHY
  note "$1: $2"
  printf '{"part": %s, "skipped": %s}\n' "$(text "$1")" "$(text "$2")" >>"$parts"
}

# part NAME COMMAND…: standard output into $work/out; of $most seconds where that is set. False, and noted with the last
# line of standard error, where it fails or there is no time.
part() {
  local name=$1 left=$((budget - SECONDS)) status=0
  shift
  if [[ -n ${most:-} ]] && ((most < left)); then left=$most; fi
  if ((left < 5)); then
    skip "$name" "no time left"
    return 1
  fi
  note "$name"
  timeout "$left" "$@" >"$work/out" 2>"$work/err" || status=$?
  if ((status == 124)); then
    skip "$name" "took longer than the $left s that were left"
  elif ((status != 0)); then
    skip "$name" "exit code $status: $(tail -n 1 "$work/err")"
  fi
  ((status == 0))
}

# The lines of JSON in $work/out, as parts with this name.
keep() { grep '^{' "$work/out" | sed "s|^{|{\"part\": $(text "$1"), |" >>"$parts"; }

# What a bundle without CUDA's libraries (--thin) does not find by itself may lie in PyTorch's packages.
find_libraries() {
  local folders
  folders=$("${PEER_PYTHON:-python3}" -c 'import glob, os, nvidia
print(":".join(d for p in nvidia.__path__ for d in glob.glob(os.path.join(p, "*", "lib"))))' 2>/dev/null) || return 0
  export LD_LIBRARY_PATH=${LD_LIBRARY_PATH:+$LD_LIBRARY_PATH:}$folders
}

find_programs() {
  if [[ -d bin ]]; then
    trainer=./trainer
    bin=bin
    tests=bin/gpu_test
    return
  fi
  local target
  for target in trainer gpu_test bench_train bench_generate bench_kernels; do tools/setup/build.sh release "$target"; done
  trainer=build/release/launcher/trainer
  bin=build/release/bench
  tests=build/release/tests/gpu/gpu_test
}

# "name, driver", or nothing.
card() { nvidia-smi --query-gpu=name,driver_version --format=csv,noheader -i "${device#cuda:}" 2>/dev/null || true; }

# Dense bf16 TFLOP/s of a card as its maker gives them; 0: not known here.
peak_tflops() {
  case $1 in
    *B200*) echo 2250 ;;
    *H200* | *H100*HBM3* | *H100*SXM* | *GH200*) echo 989 ;;
    *H100*) echo 756 ;;
    *A100*) echo 312 ;;
    *L40S*) echo 362 ;;
    *4090*) echo 165 ;;
    *) echo 0 ;;
  esac
}

run_tests() {
  local last
  most=200 part "tests" "$tests" --gtest_brief=1 || { tail -n 20 "$work/out" >&2; return 0; }
  if last=$(grep -m 1 'no test could run: ' "$work/out"); then
    skip "tests" "$last"
  else
    printf '{"part": "tests", "result": %s}\n' "$(text "$(grep -E 'PASSED|FAILED|SKIPPED' "$work/out" | tr '\n' ' ')")" >>"$parts"
  fi
}

# figure NAME: of the pretraining that was run last.
figure() {
  tr -d '\n ' <"$work/run-${#losses[@]}/pretrain/done.json" | sed -n "s/.*\[\"$1\",\([-0-9.e+]*\)\].*/\1/p"
}

# A small model on two ranks: on the CPU, on one device that they share, and where there are two cards on one each,
# through NCCL. The losses agree to a hundredth.
run_recipe() {
  local place i losses=() peaks=() places=(cpu "$device")
  if [[ $device != cpu && $(nvidia-smi -L | wc -l) -gt 1 ]]; then places+=(cuda); fi
  cat docs/*.md README.md >"$work/text.txt"
  cat >"$work/tiny.yaml" <<RECIPE
name: tiny
precision: fp32
model: {hidden_size: 64, intermediate_size: 128, num_hidden_layers: 2, num_attention_heads: 4, num_key_value_heads: 2, max_position_embeddings: 128}
stages:
  - tokenizer: {data: $work/text.txt, vocab_size: 400}
  - pretrain: {data: {path: $work/text.txt}, steps: 20, global_batch_size: 8, sequence_length: 64, samples: {count: 0}, layout: {data_parallel: 2}}
RECIPE
  for place in "${places[@]}"; do
    part "run on $place" "$trainer" --ranks 2 "$work/tiny.yaml" "device=$place" "run_dir=$work/run-${#losses[@]}" || return 0
    peaks+=("$(figure peak_bytes)")
    losses+=("$(figure loss)")
  done
  for ((i = 1; i < ${#losses[@]}; ++i)); do
    awk -v cpu="${losses[0]}" -v device="${losses[i]}" -v place="${places[i]}" -v peak="${peaks[i]}" 'BEGIN {
      d = device - cpu; if (d < 0) d = -d
      printf "{\"part\": \"run\", \"on\": \"%s\", \"peak_bytes\": %s, \"loss\": %s, \"loss_cpu\": %s, \"agree\": %s}\n",
        place, peak, device, cpu, (d < 0.01 && peak > 0) ? "true" : "false" }' >>"$parts"
  done
}

run_kernels() {
  local shape=bench/models/llama-1b
  if [[ -n $tiny ]]; then shape=demo; fi
  local kernel
  for kernel in "matmul ceiling" gelu attention copy; do
    if part "kernels: $kernel" "$bin/bench_kernels" --device "$device" --precision bf16 --shape "$shape" --only "$kernel" --json 1; then
      keep "kernels"
    fi
  done
  if TANDEM_CUDNN_LIBRARY=none part "kernels: attention without cuDNN" "$bin/bench_kernels" --device "$device" \
    --precision bf16 --shape "$shape" --only attention --json 1; then
    keep "kernels without cuDNN"
  fi
}

# with_mfu: adds model_tflops and, where the card's peak is known, mfu to the line in $work/out.
with_mfu() {
  awk -v peak="$peak" '/^\{/ {
    line = $0; flops = tokens = 0
    if (match($0, /"flops_per_token":[^,}]*/)) flops = substr($0, RSTART + 18, RLENGTH - 18)
    if (match($0, /"tokens_per_s":[^,}]*/)) tokens = substr($0, RSTART + 15, RLENGTH - 15)
    rate = flops * tokens / 1e12
    sub(/\}$/, sprintf(",\"model_tflops\":%.2f%s}", rate, peak > 0 ? sprintf(",\"mfu\":%.4f", rate / peak) : ""), line)
    print line }' "$work/out" >"$work/out.new"
  mv "$work/out.new" "$work/out"
}

# "model batch sequence", bf16.
training_cases() {
  if [[ -n $tiny ]]; then
    echo "llama-30m 1 32"
    return
  fi
  cat <<CASES
bench/models/gpt2-124m 32 1024
llama-58m 64 512
bench/models/llama-1b 8 2048
bench/models/qwen2.5-0.5b 8 2048
bench/models/qwen2.5-1.5b 4 2048
bench/models/qwen2.5-7b-8layers 4 2048
CASES
}

training_options() { # training_options MODEL BATCH SEQUENCE: into options
  options=(--model "$1" --device "$device" --precision bf16 --batch "$2" --seq "$3" --steps 10 --warmup 3)
  if [[ -n $tiny ]]; then options+=(--steps 1 --warmup 1); fi
}

run_training() {
  local model batch seq options
  while read -r model batch seq; do
    training_options "$model" "$batch" "$seq"
    if part "training: $model" "$bin/bench_train" "${options[@]}"; then
      with_mfu
      keep "training"
    fi
  done < <(training_cases)
}

# What recording a step gains where the host is slower than the card.
run_training_graphs() {
  local model=llama-58m batch=4 seq=512 options graphs
  if [[ -n $tiny ]]; then model=llama-30m batch=1 seq=32; fi
  training_options "$model" "$batch" "$seq"
  for graphs in 0 1; do
    if part "training, graphs $graphs" "$bin/bench_train" "${options[@]}" --graphs "$graphs"; then
      with_mfu
      keep "training with and without graphs"
    fi
  done
}

# What GPT-2 gains from products that make its GELU.
run_gelu_fusion() {
  local options fusion
  if [[ -n $tiny ]]; then training_options bench/models/gpt2-124m 1 32; else training_options bench/models/gpt2-124m 32 1024; fi
  for fusion in 0 1; do
    if part "training, GELU fusion $fusion" "$bin/bench_train" "${options[@]}" --gelu-fusion "$fusion"; then
      with_mfu
      keep "training with and without GELU fusion"
    fi
  done
}

# What products of fp32 gain from tf32.
run_tf32() {
  local options tf32
  if [[ -n $tiny ]]; then training_options llama-30m 1 32; else training_options bench/models/gpt2-124m 8 1024; fi
  for tf32 in 0 1; do
    if part "training in fp32, tf32 $tf32" "$bin/bench_train" "${options[@]}" --precision fp32 --tf32 "$tf32"; then
      with_mfu
      keep "training in fp32"
    fi
  done
}

# "model batch"
decoding_cases() {
  if [[ -n $tiny ]]; then
    echo "llama-58m 1"
    return
  fi
  printf '%s\n' "llama-58m 1" "llama-58m 64" "bench/models/llama-1b 1" "bench/models/llama-1b 64"
}

decoding_options() { # decoding_options MODEL BATCH: into options
  options=(--model "$1" --device "$device" --precision bf16 --batch "$2" --prompt 128 --new 128 --steps 2 --warmup 1)
  if [[ -n $tiny ]]; then options+=(--prompt 4 --new 4 --steps 1); fi
}

run_decoding() {
  local model batch options
  while read -r model batch; do
    decoding_options "$model" "$batch"
    if part "decoding: $model, $batch at a time" "$bin/bench_generate" "${options[@]}"; then keep "decoding"; fi
    if part "decoding kernel by kernel: $model, $batch at a time" "$bin/bench_generate" "${options[@]}" --graphs 0; then
      keep "decoding without graphs"
    fi
  done < <(decoding_cases)
}

peer() { # peer NAME PROGRAM OPTION…
  local name=$1 program=$2
  shift 2
  if most=90 part "peer: $name" "$python" "bench/peers/$program" "$@"; then keep "peer"; fi
}

# After all of ours, so that a slow peer costs nothing else: compiled ones first, which are the ones to beat.
run_peers() {
  local model batch seq options compile
  if [[ -z $python ]]; then return; fi
  for compile in --compile ""; do
    while read -r model batch seq; do
      training_options "$model" "$batch" "$seq"
      peer "training $model ${compile:-eager}" train_torch.py "${options[@]}" $compile
    done < <(training_cases)
  done
  while read -r model batch; do
    decoding_options "$model" "$batch"
    if ((batch > 1)); then peer "decoding $model" generate_hf.py "${options[@]}"; fi
  done < <(decoding_cases)
}

find_peer() {
  python=${PEER_PYTHON:-$(command -v python3 || true)}
  if [[ -z $python ]] || ! "$python" -c "import torch, transformers; torch.zeros(1, device='$device')" 2>"$work/err"; then
    skip "peer" "no PyTorch that can use $device: $(tail -n 1 "$work/err" 2>/dev/null)"
    python=
  fi
}

write_document() {
  {
    printf '{\n"date": "%s",\n"device": %s,\n' "$(date -u +%Y-%m-%dT%H:%M:%SZ)" "$(text "$device")"
    printf '"card": %s,\n"driver": %s,\n' "$(text "${name%,*}")" "$(text "${name##*, }")"
    printf '"tandem": %s,\n"system": %s,\n' "$(text "$("$trainer" --version)")" "$(text "$(uname -srm)")"
    printf '"peak_tflops": %s,\n"seconds": %s,\n"parts": [\n' "$peak" "$SECONDS"
    sed '$!s/$/,/' "$parts"
    printf ']\n}\n'
  } >"$output"
}

find_libraries
find_programs
name=$(card)
peak=$(peak_tflops "$name")
find_peer
# The document is there after every step, should this script be stopped.
for step in run_tests run_recipe run_kernels run_training run_training_graphs run_gelu_fusion run_tf32 run_decoding run_peers; do
  "$step"
  write_document
done
note "$output, after $SECONDS s"
# The figures are there in any case; the exit code says whether what must hold does.
! grep -qE '"part": "tests", "skipped": "exit code|"agree": false' "$parts"
