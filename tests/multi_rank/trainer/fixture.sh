# Sourced by the tests that run the real program: a small recipe with all stages, its data, and ways to
# start and to kill it.
# shellcheck shell=bash
source "$(dirname "${BASH_SOURCE[0]}")/../../support/check.sh"
cd "$root"
source tools/setup/mpi.env
export OMP_NUM_THREADS=1
trainer=${TRAINER:-$root/trainer}

# Sentences of the tokenizer's test corpus, as text, as prompts with completions, as preferences (longer
# sentences are liked better).
make_data() {
  local data=$work/data
  mkdir -p "$data"
  grep -o '[A-Z][a-z ,]*[a-z]\.' tests/golden/data/bpe/corpus.txt | awk 'length > 30 && length < 120 && ++n <= 400' >"$data/text.txt"
  awk '{ prompt = $1 " " $2; rest = substr($0, length(prompt) + 1)
         printf "{\"prompt\": \"%s\", \"completion\": \"%s\"}\n", prompt, rest }' "$data/text.txt" >"$data/sft.jsonl"
  awk 'NR % 2 { first = $0; next }
       { if (length(first) < length($0)) { t = first; first = $0; $0 = t }
         printf "{\"prompt\": \"\", \"chosen\": \"%s\", \"rejected\": \"%s\"}\n", first, $0 }' "$data/text.txt" >"$data/pairs.jsonl"
  awk '{ printf "{\"prompt\": \"%s %s\"}\n", $1, $2 }' "$data/text.txt" >"$data/prompts.jsonl"
}

# All stages in a few seconds. PPO's roles on 5 ranks: policy 2, critic, reference, reward 1 each.
write_recipe() { # write_recipe FILE
  cat >"$1" <<END
name: tiny
model: {hidden_size: 32, intermediate_size: 64, num_hidden_layers: 2, num_attention_heads: 4, num_key_value_heads: 2, max_position_embeddings: 128}
stages:
  - tokenizer: {data: $work/data/text.txt, vocab_size: 400}
  - pretrain:
      data: {path: $work/data/text.txt, validation_fraction: 0.05}
      steps: 48
      global_batch_size: 8
      micro_batch_size: 2
      sequence_length: 48
      optimizer: {learning_rate: 0.003}
      save_every: 6
      eval_every: 24
      samples: {max_new_tokens: 8}
      layout: {data_parallel: 2, tensor_parallel: 2}
  - sft:
      data: $work/data/sft.jsonl
      steps: 24
      global_batch_size: 8
      sequence_length: 64
      save_every: 4
      samples: {max_new_tokens: 8}
      layout: {data_parallel: 4}
  - reward:
      data: $work/data/pairs.jsonl
      steps: 24
      global_batch_size: 8
      sequence_length: 64
      save_every: 4
      layout: {tensor_parallel: 2}
  - ppo:
      prompts: $work/data/prompts.jsonl
      total_episodes: 80
      rollout_batch_size: 8
      prompt_length: 8
      response_length: 8
      num_ppo_epochs: 2
      calibration_samples: 16
      save_every: 2
      samples: {max_new_tokens: 8}
      placement:
        policy: {tensor_parallel: 2}
        critic: {ranks: 1}
        reference: {ranks: 1}
        reward: {ranks: 1}
  - evaluate:
      prompts: {path: $work/data/prompts.jsonl, max_records: 16}
      baseline_from: sft
      prompt_length: 8
      response_length: 8
      layout: {data_parallel: 2}
END
}

# run_trainer RANKS ARGUMENT…: standard output and error into $work/log, the exit code into $status. Nothing of
# it may be left behind.
run_trainer() {
  local ranks=$1
  shift
  status=0
  timeout 120 mpirun -np "$ranks" "$trainer" "$@" >"$work/log" 2>&1 || status=$?
}

# Processes of this test's trainer that still run.
left_behind() { pgrep -f "^$trainer .*$work" || true; }

# The lines that the program itself wrote, without mpirun's.
trainer_lines() { grep '^trainer: ' "$work/log" || true; }

# A checksum of everything in a run's folder that must not depend on when it was interrupted.
fingerprint() { # fingerprint RUN_DIR
  (cd "$1" && find . -type f \( -name '*.safetensors' -o -name 'metrics.jsonl' -o -name 'samples.jsonl' \
    -o -name 'tokenizer.json' -o -name 'config.json' \) -print0 | sort -z | xargs -0 sha256sum)
}

# The losses of a stage, one a line.
losses() { # losses RUN_DIR STAGE
  sed 's/.*"loss":\([^,}]*\).*/\1/' "$1/$2/metrics.jsonl"
}

# Fails unless two columns of numbers agree, relative to the first.
close() { # close WHAT FILE FILE TOLERANCE
  checks=$((checks + 1))
  paste "$2" "$3" | awk -v tolerance="$4" '
    { d = $1 - $2; if (d < 0) d = -d; if (NF != 2 || d > tolerance * ($1 < 0 ? -$1 : $1)) { print NR ": " $0; bad = 1 } }
    END { exit bad || NR == 0 }' || fail "$1"
}

# Four stages that train in step, each with a layout.
write_training_recipe() { # write_training_recipe FILE LAYERS PRETRAIN_LAYOUT SFT_LAYOUT REWARD_LAYOUT DPO_LAYOUT
  cat >"$1" <<END
name: training
precision: fp32
model: {hidden_size: 32, intermediate_size: 64, num_hidden_layers: $2, num_attention_heads: 4, num_key_value_heads: 2, max_position_embeddings: 128}
stages:
  - tokenizer: {data: $work/data/text.txt, vocab_size: 400}
  - pretrain:
      data: {path: $work/data/text.txt, validation_fraction: 0.05}
      steps: 24
      global_batch_size: 16
      micro_batch_size: 2
      sequence_length: 48
      optimizer: {learning_rate: 0.003}
      save_every: 3
      eval_every: 12
      samples: {max_new_tokens: 8}
      layout: $3
  - sft: {data: $work/data/sft.jsonl, steps: 8, global_batch_size: 8, sequence_length: 64, save_every: 3, samples: {max_new_tokens: 8}, layout: $4}
  - reward: {data: $work/data/pairs.jsonl, steps: 8, global_batch_size: 8, sequence_length: 64, save_every: 3, layout: $5}
  - dpo: {from: sft, data: $work/data/pairs.jsonl, steps: 8, global_batch_size: 8, sequence_length: 64, save_every: 3, samples: {max_new_tokens: 8}, layout: $6}
END
}

# Kills a run on 4 ranks once it has a checkpoint, and starts it again: it ends with the bytes of the whole one.
goes_on_after_a_kill() { # goes_on_after_a_kill RECIPE WHOLE_RUN [STAGE/CHECKPOINT]
  local checkpoint=${3:-pretrain/checkpoint-9}
  rm -rf "$work/killed"
  mpirun -np 4 "$trainer" "$1" "run_dir=$work/killed" >"$work/log" 2>&1 &
  local mpirun=$!
  while [[ ! -e $work/killed/$checkpoint ]] && kill -0 "$mpirun" 2>/dev/null; do sleep 0.02; done
  pkill -KILL -f "^$trainer .*run_dir=$work/killed" || true
  wait "$mpirun" || true
  run_trainer 4 "$1" "run_dir=$work/killed"
  equal "goes on after a kill at $checkpoint" 0 "$status"
  [[ $status -eq 0 ]] || tail -n 20 "$work/log"
  equal "the same bytes as without the kill" "$(fingerprint "$2")" "$(fingerprint "$work/killed")"
}

# Asks a run to end once it has a checkpoint, which must be before its stage has made STEPS steps. Its folder is $work/moved.
interrupted_at() { # interrupted_at STAGE/CHECKPOINT STEPS RANKS RECIPE KEY…
  local mpirun
  mpirun -np "$3" "$trainer" "$4" "run_dir=$work/moved" "${@:5}" >"$work/log" 2>&1 &
  mpirun=$!
  while [[ ! -e $work/moved/$1 ]] && kill -0 "$mpirun" 2>/dev/null; do sleep 0.02; done
  kill -USR1 "$mpirun"
  wait "$mpirun" || true
  checks=$((checks + 1))
  [[ $(wc -l <"$work/moved/${1%/*}/metrics.jsonl") -lt $2 ]] || fail "the run ended before it could be moved"
}

# Lets it go on with these keys, on 2 ranks that divide matrices.
moved_to_tensor_parallel() { # moved_to_tensor_parallel RECIPE KEY…
  run_trainer 2 "$1" "run_dir=$work/moved" "${@:2}"
  equal "goes on tensor-parallel" 0 "$status"
  [[ $status -eq 0 ]] || tail -n 20 "$work/log"
}

# A pretrain stage of 200 steps that is interrupted under a layout and goes on with 2 ranks that divide matrices has the
# losses of one rank. ONE_RANK (an array's name): the keys that lay all stages over one rank.
goes_on_tensor_parallel() { # goes_on_tensor_parallel RECIPE ONE_RANK RANKS KEY…
  local -n laid_over_one=$2
  local long=("${laid_over_one[@]}" pretrain.steps=200 pretrain.save_every=20)
  interrupted_at pretrain/checkpoint-20 200 "$3" "$1" pretrain.steps=200 pretrain.save_every=20 "${@:4}"
  moved_to_tensor_parallel "$1" "${long[@]}" pretrain.layout.tensor_parallel=2
  run_trainer 1 "$1" "run_dir=$work/whole" "${long[@]}"
  close "losses of the moved run" <(losses "$work/whole" pretrain | head -n 100) <(losses "$work/moved" pretrain | head -n 100) 1e-3
}

# The plan's peak of a stage (of all its roles), and what its first rank took.
planned_peak() { # planned_peak STAGE RECIPE KEY…
  "$trainer" plan "$2" --ranks 4 "${@:3}" | awk -v stage="$1" '$1 == stage && /B$/ { print $(NF - 1) * ($NF == "kB" ? 1e3 : $NF == "MB" ? 1e6 : 1) }' | tail -n 1
}
taken_peak() { # taken_peak STAGE RUN_DIR
  tr -d ' \n' <"$2/$1/done.json" | grep -o '"peak_bytes",[0-9.e+]*' | grep -o '[0-9.e+]*$'
}

# What cannot be is one line before anything begins.
refused() { # refused RECIPE MESSAGE CHANGE…
  run_trainer 4 "$1" "run_dir=$work/none" "${@:3}"
  equal "exit code of: $2" 2 "$status"
  contains "$2" "$(trainer_lines)" "$2"
}
