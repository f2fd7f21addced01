#!/usr/bin/env bash
# gpu_check.sh [--device DEVICE] [--tiny] [--seconds N] [--output FILE]: what a machine's GPU does with Tandem, in less
# than ten minutes: the tests that need a card, a small run beside the same run on the CPU, and benchmarks, beside PyTorch
# where PEER_PYTHON (or python3) has it. Writes one JSON document; a part that cannot run is in it with the reason, and
# what all parts printed is in a .log beside it. The exit code is 0 where no test failed, the runs agree and no program of
# ours broke down.
#
# Works in a bundle (tools/bundle.sh --tests), which needs nothing but a driver, and in a checkout, which it builds.
#
#   --device    cuda:0, or cpu, to try the script itself where there is no GPU
#   --tiny      sizes that take seconds, for the same purpose
#   --seconds   540: no part runs after that many, of which building is not one
#   --output    gpu_check.json
set -euo pipefail
# Numbers with a decimal point, and only ASCII is printable: what text() lets through is valid JSON in any case.
export LC_ALL=C
# A step of a batch system has these; a program that sees them would wait for MPI's other ranks.
unset "${!SLURM_@}" "${!PMI@}" "${!OMPI_@}"
called_from=$PWD
cd "$(dirname "${BASH_SOURCE[0]}")/.."

device=cuda:0
tiny=
budget=540
output=gpu_check.json
while [[ $# -gt 0 ]]; do
  case $1 in
    --device | --seconds | --output)
      [[ $# -gt 1 ]] || { echo "gpu_check.sh: $1 needs a value" >&2; exit 2; }
      case $1 in
        --device) device=$2 ;;
        --seconds) budget=$2 ;;
        --output) output=$2 ;;
      esac
      shift
      ;;
    --tiny) tiny=1 ;;
    *) echo "gpu_check.sh: unknown argument $1 (there are --device, --tiny, --seconds, --output)" >&2; exit 2 ;;
  esac
  shift
done
[[ $output == /* ]] || output=$called_from/$output
log=${output%.json}.log
mkdir -p "$(dirname "$output")"

# What ignores the end of its time is killed so many seconds later.
grace=10
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
parts=$work/parts
began=$(date -u +%Y-%m-%dT%H:%M:%SZ)
failures=0
version=
card=
peak=0
: >"$parts"
: >"$log"

text() { # a JSON string of the first argument
  local s=${1//[^[:print:]]/ }
  s=${s//\\/\\\\}
  printf '"%s"' "${s//\"/\\\"}"
}

note() { echo "gpu_check.sh: $*" >&2; }

write_document() {
  {
    printf '{\n"date": "%s",\n"device": %s,\n' "$began" "$(text "$device")"
    printf '"card": %s,\n"driver": %s,\n' "$(text "${card%,*}")" "$(text "${card##*, }")"
    printf '"tandem": %s,\n"system": %s,\n' "$(text "$version")" "$(text "$(uname -srm)")"
    printf '"peak_tflops": %s,\n"seconds": %s,\n"failures": %s,\n"parts": [\n' "$peak" "$SECONDS" "$failures"
    sed '$!s/$/,/' "$parts"
    printf ']\n}\n'
  } >"$output.new"
  mv "$output.new" "$output"
}

# Standard input's lines into the document, which is whole after every part, should this script be stopped.
add() {
  cat >>"$parts"
  write_document
}

skip() { # skip PART WHY
  note "$1: $2"
  printf '{"part": %s, "skipped": %s}\n' "$(text "$1")" "$(text "$2")" | add
}

fail() { # fail PART WHY [MORE]: MORE is further JSON
  note "$1: failed: $2"
  ((++failures))
  printf '{"part": %s, "failed": %s%s}\n' "$(text "$1")" "$(text "$2")" "${3:+, $3}" | add
}

last_line() { tail -n 1 "$work/err" | grep -a . || tail -n 1 "$work/out"; }

# part NAME COMMAND…: standard output into $work/out; of $most seconds at most. False where it did not end well, and
# that is in the document then, with the names of the tests that failed. $kind says how much it matters:
#   required   it must run, and end well
#   ours       it must end well if there is time for it
#   peer       it may fail
part() {
  local name=$1 left=$((budget - grace - SECONDS)) start=$SECONDS status=0 seconds
  shift
  seconds=$((most < left ? most : left))
  took=0
  : >"$work/out"
  if ((seconds < 5)); then
    if [[ $kind == required ]]; then fail "$name" "no time left"; else skip "$name" "no time left"; fi
    return 1
  fi
  note "$name"
  timeout -k "$grace" "$seconds" "$@" >"$work/out" 2>"$work/err" || status=$?
  took=$((SECONDS - start))
  {
    printf '==== %s: exit code %s after %s s: %s\n' "$name" "$status" "$took" "$*"
    cat "$work/out" "$work/err"
  } >>"$log"
  if ((status == 0)); then return 0; fi
  # 137: it was killed, by timeout where its time was over.
  if ((status == 124 || (status == 137 && took >= seconds))); then
    if [[ $kind == required || ($kind == ours && $most -le $left) ]]; then
      fail "$name" "took longer than $seconds s" "$(failed_tests)"
    else
      skip "$name" "took longer than the $seconds s that were left"
    fi
  elif [[ $kind == peer ]]; then
    skip "$name" "exit code $status: $(last_line)"
  else
    fail "$name" "exit code $status: $(last_line)" "$(failed_tests)"
  fi
  return 1
}

# "tests": the names of those in $work/out that failed, or else of the one that was under way.
failed_tests() {
  awk '/^\[ RUN / { running = $NF }
       /^\[       OK / || /^\[  SKIPPED / { running = "" }
       /^\[  FAILED  \] [^ ]*\./ { running = ""; sub(/,$/, "", $4); if (!seen[$4]++) names = names ", \"" $4 "\"" }
       END { if (running != "") names = names ", \"" running "\""
             if (names != "") print "\"tests\": [" substr(names, 3) "]" }' "$work/out"
}

# The lines of JSON in $work/out, as parts with this name.
keep() {
  awk -v part="$(text "$1")" -v took="$took" '/^\{".*\}$/ {
    gsub(/[^ -~]/, " "); print "{\"part\": " part ", \"wall_s\": " took ", " substr($0, 2) }' "$work/out" | add
}

# What a bundle without CUDA's libraries (--thin) does not find by itself may lie in PyTorch's packages or the toolkit.
find_libraries() {
  local folders
  folders=$("${PEER_PYTHON:-python3}" -c 'import glob, os, nvidia
print("".join(d + ":" for p in nvidia.__path__ for d in glob.glob(os.path.join(p, "*", "lib"))))' 2>/dev/null) || folders=
  export LD_LIBRARY_PATH=${LD_LIBRARY_PATH:+$LD_LIBRARY_PATH:}$folders/usr/local/cuda/lib64
}

find_programs() {
  if [[ -d bin ]]; then
    trainer=./trainer
    bin=bin
    tests=bin/gpu_test
    return
  fi
  trainer=build/release/launcher/trainer
  bin=build/release/bench
  tests=build/release/tests/gpu/gpu_test
  if ! tools/setup/build.sh release trainer gpu_test bench_train bench_generate bench_kernels 2>&1 | tee "$work/out" >&2; then
    cat "$work/out" >>"$log"
    fail "build" "$(tail -n 1 "$work/out")"
    exit 1
  fi
}

# "name, driver", or nothing.
find_card() { nvidia-smi --query-gpu=name,driver_version --format=csv,noheader -i "${device#cuda:}" 2>/dev/null || true; }

# Dense bf16 TFLOP/s of a card as its maker gives them; 0: not known here.
peak_tflops() {
  case $1 in
    *B200*) echo 2250 ;;
    *H200*NVL* | *H100*NVL*) echo 835 ;;
    *H200* | *H100*HBM3* | *H100*SXM*) echo 989 ;;
    *H100*) echo 756 ;;
    *A100*) echo 312 ;;
    *L40S*) echo 362 ;;
    *4090*) echo 165 ;;
    *) echo 0 ;;
  esac
}

# A process for each suite: an illegal address stays with a process and would fail every test after it.
run_tests() {
  local kind=required most=60 limit=$((SECONDS + 200)) suite
  part "tests" "$tests" --gtest_list_tests || return 0
  for suite in $(awk '/^[^ ]+\./ { print $1 }' "$work/out"); do
    most=$((limit - SECONDS < 60 ? limit - SECONDS : 60))
    part "tests: ${suite%.}" "$tests" "--gtest_filter=$suite*" || continue
    if grep -aq 'no test could run: ' "$work/out"; then
      if [[ $device == cpu ]]; then skip "tests" "$(grep -a 'no test could run: ' "$work/out")"; else
        fail "tests" "$(grep -a 'no test could run: ' "$work/out")"
      fi
      return 0
    fi
    awk -v suite="$(text "${suite%.}")" -v took="$took" '
      /^\[  PASSED  \] [0-9]/ { passed = $4 }
      /^\[  SKIPPED \] [0-9]+ test/ { skipped = $4 }
      END { printf "{\"part\": \"tests\", \"suite\": %s, \"wall_s\": %d, \"passed\": %d, \"not_run\": %d}\n",
              suite, took, passed, skipped }' "$work/out" | add
  done
}

# figure FOLDER NAME: of a run's pretraining; null where it is no number.
figure() {
  local number=
  number=$(tr -d '\n ' <"$1/pretrain/done.json" | sed -n "s/.*\[\"$2\",\([-0-9.e+]\{1,\}\)\].*/\1/p") || true
  echo "${number:-null}"
}

recipe_on() { # recipe_on DEVICE FOLDER
  part "run on $1" "$trainer" --ranks 2 "$work/tiny.yaml" "device=$1" "run_dir=$2"
}

# A small model on two ranks: on the CPU, on one device that they share, and where there are two cards on one each,
# through NCCL. The losses agree to a hundredth.
run_recipe() {
  local kind=required most=60 place folder loss loss_cpu bytes agree places=("$device")
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
  recipe_on cpu "$work/run" || return 0
  loss_cpu=$(figure "$work/run" loss)
  for place in "${places[@]}"; do
    folder=$work/run-${place/:/-}
    recipe_on "$place" "$folder" || continue
    loss=$(figure "$folder" loss)
    bytes=$(figure "$folder" peak_bytes)
    agree=$(awk -v loss="$loss" -v cpu="$loss_cpu" -v bytes="$bytes" 'BEGIN {
      d = loss - cpu
      print (loss != "null" && cpu != "null" && d < 0.01 && d > -0.01 && bytes > 0) ? "true" : "false" }')
    printf '{"part": "run", "on": %s, "wall_s": %s, "peak_bytes": %s, "loss": %s, "loss_cpu": %s, "agree": %s}\n' \
      "$(text "$place")" "$took" "$bytes" "$loss" "$loss_cpu" "$agree" | add
    if [[ $agree == false ]]; then fail "run on $place" "loss $loss, $loss_cpu on the CPU; $bytes bytes of memory"; fi
  done
}

run_kernels() {
  local kind=ours most=60 options kernel
  options=(--shape bench/models/llama-1b --batch 8 --seq 2048)
  if [[ -n $tiny ]]; then options=(--shape demo); fi
  options+=(--device "$device" --precision bf16 --json 1)
  for kernel in matmul attention gelu copy norm swiglu softmax embedding adamw decode; do
    part "kernels: $kernel" "$bin/bench_kernels" "${options[@]}" --only "$kernel" || true
    keep "kernels"  # also those before one that failed
  done
  if [[ $version == *", cuDNN "* ]] &&
    TANDEM_CUDNN_LIBRARY=none part "kernels: attention without cuDNN" "$bin/bench_kernels" "${options[@]}" --only attention; then
    keep "kernels without cuDNN"
  fi
}

# with_mfu: adds model_tflops and, where the card's peak is known and the one of these products, mfu to the line in
# $work/out.
with_mfu() {
  awk -v peak="$peak" '/^\{/ {
    line = $0; flops = tokens = 0
    if (match($0, /"flops_per_token":[^,}]*/)) flops = substr($0, RSTART + 18, RLENGTH - 18)
    if (match($0, /"tokens_per_s":[^,}]*/)) tokens = substr($0, RSTART + 15, RLENGTH - 15)
    rate = flops * tokens / 1e12
    of_peak = peak > 0 && /"precision":"bf16"/ ? sprintf(",\"mfu\":%.4f", rate / peak) : ""
    sub(/\}$/, sprintf(",\"model_tflops\":%.2f%s}", rate, of_peak), line)
    print line }' "$work/out" >"$work/out.new"
  mv "$work/out.new" "$work/out"
}

# "model batch sequence", bf16; first those that say most, because time may not reach to the last peers.
training_cases() {
  if [[ -n $tiny ]]; then
    echo "llama-30m 1 32"
    return
  fi
  cat <<CASES
bench/models/llama-1b 8 2048
bench/models/gpt2-124m 32 1024
bench/models/qwen2.5-7b-8layers 4 2048
bench/models/qwen2.5-0.5b 8 2048
bench/models/qwen2.5-1.5b 4 2048
llama-58m 64 512
CASES
}

training_options() { # training_options MODEL BATCH SEQUENCE: into options
  options=(--model "$1" --device "$device" --precision bf16 --batch "$2" --seq "$3" --steps 10 --warmup 3)
  if [[ -n $tiny ]]; then options+=(--steps 1 --warmup 1); fi
}

train() { # train PART NAME OPTION…
  local kind=ours most=90 part=$1 name=$2
  shift 2
  part "$name" "$bin/bench_train" "$@" || return 0
  with_mfu
  keep "$part"
  if grep -q '_loss":null' "$work/out"; then fail "$name" "the loss is not a number"; fi
}

run_training() {
  local model batch seq options
  while read -r model batch seq; do
    training_options "$model" "$batch" "$seq"
    train "training" "training: $model" "${options[@]}"
  done < <(training_cases)
}

# What recording a step gains where the host is slower than the card.
run_training_graphs() {
  local model=llama-58m batch=4 seq=512 options graphs
  if [[ -n $tiny ]]; then model=llama-30m batch=1 seq=32; fi
  training_options "$model" "$batch" "$seq"
  for graphs in 0 1; do
    train "training with and without graphs" "training, graphs $graphs" "${options[@]}" --graphs "$graphs"
  done
}

# What GPT-2 gains from products that make its GELU.
run_gelu_fusion() {
  local options fusion
  if [[ -n $tiny ]]; then training_options bench/models/gpt2-124m 1 32; else training_options bench/models/gpt2-124m 32 1024; fi
  for fusion in 0 1; do
    train "training with and without GELU fusion" "training, GELU fusion $fusion" "${options[@]}" --gelu-fusion "$fusion"
  done
}

# What products of fp32 gain from tf32.
run_tf32() {
  local options tf32
  if [[ -n $tiny ]]; then training_options llama-30m 1 32; else training_options bench/models/gpt2-124m 8 1024; fi
  for tf32 in 0 1; do
    train "training in fp32" "training in fp32, tf32 $tf32" "${options[@]}" --precision fp32 --tf32 "$tf32"
  done
}

# "model batch"
decoding_cases() {
  if [[ -n $tiny ]]; then
    echo "llama-58m 1"
    return
  fi
  printf '%s\n' "bench/models/llama-1b 64" "bench/models/llama-1b 1" "llama-58m 64" "llama-58m 1"
}

decoding_options() { # decoding_options MODEL BATCH: into options
  options=(--model "$1" --device "$device" --precision bf16 --batch "$2" --prompt 128 --new 128 --steps 2 --warmup 1)
  if [[ -n $tiny ]]; then options+=(--prompt 4 --new 4 --steps 1); fi
}

run_decoding() {
  local kind=ours most=90 model batch options
  while read -r model batch; do
    decoding_options "$model" "$batch"
    if part "decoding: $model, $batch at a time" "$bin/bench_generate" "${options[@]}"; then keep "decoding"; fi
    if part "decoding kernel by kernel: $model, $batch at a time" "$bin/bench_generate" "${options[@]}" --graphs 0; then
      keep "decoding without graphs"
    fi
  done < <(decoding_cases)
}

peer() { # peer NAME PROGRAM OPTION…
  local kind=peer most=90 name=$1 program=$2
  shift 2
  if part "peer: $name" "$python" "bench/peers/$program" "$@"; then keep "peer"; fi
}

# Eager first, which is quick; compiled by layers, of which one is compiled for all.
train_peers() {
  local model batch seq options
  while read -r model batch seq; do
    training_options "$model" "$batch" "$seq"
    peer "training $model, eager" train_torch.py "${options[@]}"
    peer "training $model, compiled" train_torch.py "${options[@]}" --compile layers
  done
}

# After all of ours, so that a slow peer costs nothing else.
run_peers() {
  local model batch options python kind=peer most=60
  python=${PEER_PYTHON:-$(command -v python3 || true)}
  if [[ -z $python ]]; then
    skip "peer" "no Python here"
    return
  fi
  part "peer" "$python" -c "import torch, transformers; torch.zeros(1, device='$device')" || return 0
  train_peers < <(training_cases | awk 'NR <= 2')
  while read -r model batch; do
    decoding_options "$model" "$batch"
    if [[ $batch -gt 1 || -n $tiny ]]; then peer "decoding $model" generate_hf.py "${options[@]}"; fi
  done < <(decoding_cases)
  train_peers < <(training_cases | awk 'NR > 2')
}

main() {
  local kind=required most=60 step
  find_libraries
  find_programs
  SECONDS=0
  part "version" "$trainer" --version || exit 1
  version=$(<"$work/out")
  card=$(find_card)
  peak=$(peak_tflops "$card")
  for step in run_tests run_recipe run_kernels run_training run_decoding run_training_graphs run_gelu_fusion run_tf32 run_peers; do
    "$step"
  done
  write_document
  note "$output, after $SECONDS s; failures: $failures"
  ((failures == 0))
}

main
