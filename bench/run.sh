#!/usr/bin/env bash
# Benchmarks: training, data-parallel training, generation and tokenizers, ours beside PyTorch, as a table and as
# JSON in bench/results/.
#
#   bench/run.sh                               our side alone
#   PEER_PYTHON=VENV/bin/python bench/run.sh   the peer too, run by run in turn (bench/peers/README.md)
#   ROWS='train*fp32*' ROUNDS=3 bench/run.sh   some rows, each three times (the best run counts)
#
# The peer gets jemalloc where it is installed, and torch.compile for training: the tuned peer.
# Build first: cmake --build --preset release. BUILD=DIR names another build folder.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
build=${BUILD:-build/release}
rows=${ROWS:-*}
rounds=${ROUNDS:-1}
python=${PEER_PYTHON:-}
ours=$build/bench
[[ -x $ours/bench_train ]] || { echo "run.sh: $ours/bench_train is not built" >&2; exit 2; }
source tools/setup/mpi.env
mkdir -p bench/results
stamp=$(date +%Y%m%d-%H%M%S)
lines=bench/results/$stamp.jsonl
: >"$lines"
jemalloc=$(ldconfig -p | awk '/libjemalloc\.so\.2/ && !found++ { print $NF }')

# record ROW SIDE COMMAND…: the last line of JSON that the command prints, with the row's name.
record() {
  local row=$1 side=$2 json
  shift 2
  echo "$row, $side" >&2
  if ! json=$("$@" 2>"$lines.err" | grep '^{' | tail -1) || [[ -z $json ]]; then
    echo "run.sh: $* failed:" >&2
    tail -5 "$lines.err" >&2
    exit 3
  fi
  echo "{\"row\": \"$row\", \"side\": \"$side\", ${json#\{}" >>"$lines"
}

peer() {
  local row=$1
  shift
  if [[ -n $python ]]; then
    record "$row" peer env "LD_PRELOAD=$jemalloc" "$python" "$@"
  fi
}

# compare ROW 'our command' 'peer command', if the row is wanted.
compare() {
  # shellcheck disable=SC2053
  [[ $1 == $rows ]] || return 0
  local round
  for ((round = 0; round < rounds; ++round)); do
    # shellcheck disable=SC2086
    record "$1" ours $2
    # shellcheck disable=SC2086
    peer "$1" $3
  done
}

for precision in fp32 bf16; do
  for model in llama-58m llama-30m; do
    options="--model $model --precision $precision --steps 5"
    compare "train $model $precision" "$ours/bench_train $options" \
      "bench/peers/train_torch.py --compile $options"
  done
  options="--model llama-58m --precision $precision"
  compare "2 ranks x 1 thread llama-58m $precision" \
    "env OMP_NUM_THREADS=1 mpirun -np 2 $ours/bench_train $options --steps 5" \
    "bench/peers/ddp_gloo.py $options --steps 5"
  compare "generate llama-58m $precision" "$ours/bench_generate $options" \
    "bench/peers/generate_hf.py $options"
done

if [[ -f data/demo/pretrain.txt ]]; then # made by tools/demo_data/fetch.sh
  trained=$(mktemp -d)
  trap 'rm -rf "$trained"' EXIT
  for model in bpe wordpiece unigram; do
    options="--text data/demo/pretrain.txt --folder $trained/$model --model $model"
    compare "tokenize $model, 1 thread" "env OMP_NUM_THREADS=1 $ours/bench_tokenize $options" "bench/peers/tokenize_hf.py $options"
  done
fi

rm -f "$lines.err"
"$ours/bench_table" "$lines" "bench/results/$stamp.json"
rm -f "$lines"
echo "bench/results/$stamp.json"
