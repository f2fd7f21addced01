#!/usr/bin/env bash
# What is wrong with a recipe, its data or the machine is said in one line by one rank, with file, line and
# remedy; exit code 2, no rank left behind.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/fixture.sh"
make_data
write_recipe "$work/good.yaml"

# refused WHAT RANKS LINE RECIPE [key=value …]: LINE is what the one line holds.
refused() {
  local what=$1 ranks=$2 line=$3
  shift 3
  run_trainer "$ranks" "$@"
  equal "$what: exit code" 2 "$status"
  equal "$what: number of lines" 1 "$(trainer_lines | wc -l)"
  contains "$what" "$(trainer_lines)" "$line"
  equal "$what: ranks left behind" "" "$(left_behind)"
}

# edited SED-SCRIPT: the good recipe, changed.
edited() {
  sed "$1" "$work/good.yaml" >"$work/bad.yaml"
  echo "$work/bad.yaml"
}

line_of() { grep -n "$1" "$work/bad.yaml" | head -n 1 | cut -d : -f 1; }

recipe=$(edited 's/learning_rate: 0.003/learing_rate: 0.003/')
refused "unknown key" 5 "bad.yaml:$(line_of learing_rate): unknown key 'learing_rate' (did you mean 'learning_rate'?)" "$recipe"
recipe=$(edited 's/steps: 48/steps: many/')
refused "wrong type" 5 "bad.yaml:$(line_of 'steps: many'): " "$recipe"
recipe=$(edited 's#text.txt, validation#nothing.txt, validation#')
refused "missing data" 5 "bad.yaml:$(line_of nothing.txt): no such file: $work/data/nothing.txt" "$recipe"

: >"$work/data/empty.txt"
refused "empty data" 5 "$work/data/empty.txt" "$(edited 's#- tokenizer: {data: [^,]*#- tokenizer: {data: '"$work"'/data/empty.txt#')" "run_dir=$work/empty"
printf 'good line\nbad \xff\xfe line\n' >"$work/data/latin.txt"
refused "not UTF-8" 5 "$work/data/latin.txt:2" "$(edited 's#- tokenizer: {data: [^,]*#- tokenizer: {data: '"$work"'/data/latin.txt#')" "run_dir=$work/latin"
printf '{"prompt": "a", "completion": "b"}\n{"prompt": "a"}\n' >"$work/data/field.jsonl"

refused "heads and tp" 5 "num_attention_heads" "$(edited 's/num_attention_heads: 4/num_attention_heads: 3/; s/num_key_value_heads: 2/num_key_value_heads: 3/')"
refused "placement" 4 "mpirun -np 5" "$work/good.yaml"
refused "more ranks than started" 2 "mpirun -np 4" "$work/good.yaml" ppo.placement.shared=true
refused "no such recipe" 2 "no such" "$work/missing.yaml"
refused "a batch that replicas do not divide" 5 "data_parallel" "$work/good.yaml" pretrain.global_batch_size=9

# From here on with the stages before PPO done.
run_trainer 5 "$work/good.yaml" "run_dir=$work/run"
equal "the good recipe" 0 "$status"
[[ $status -eq 0 ]] || cat "$work/log"

refused "bad record" 5 "$work/data/field.jsonl:2" "$(edited 's#sft.jsonl#field.jsonl#')" "run_dir=$work/field"
refused "changed settings" 5 "steps: 24 → 20" "$work/good.yaml" "run_dir=$work/run" sft.steps=20

cp -r "$work/run" "$work/corrupt"
rm -r "$work/corrupt/ppo"
head -c 1000 "$work/run/sft/checkpoint-24/model.safetensors" >"$work/corrupt/sft/checkpoint-24/model.safetensors"
refused "corrupt checkpoint" 5 "$work/corrupt/sft/checkpoint-24/model.safetensors" "$work/good.yaml" "run_dir=$work/corrupt"

# A port that somebody else listens on.
cp -r "$work/run" "$work/port"
rm -r "$work/port/ppo"
perl -MIO::Socket::INET -e 'my $s = IO::Socket::INET->new(LocalAddr => "127.0.0.1", Listen => 1) or die; print $s->sockport, "\n"; close STDOUT; sleep 60' >"$work/portnumber" &
listener=$!
while [[ ! -s $work/portnumber ]]; do sleep 0.05; done
refused "port in use" 5 "$(<"$work/portnumber")" "$work/good.yaml" "run_dir=$work/port" "ppo.services.port=$(<"$work/portnumber")"
kill "$listener"

# A disk that fills up while the second checkpoint is saved: one and a half checkpoints fit.
full_disk() {
  local checkpoint
  checkpoint=$(du -sk "$work/run/pretrain/checkpoint-48" | cut -f 1)
  mkdir "$work/disk"
  mount -t tmpfs -o "size=$((checkpoint * 3 / 2 + 200))k" tmpfs "$work/disk"
  refused "full disk" 5 "$work/disk/pretrain/checkpoint-12" "$work/good.yaml" "run_dir=$work/disk"
  contains "full disk: the reason" "$(trainer_lines)" "No space left"
  equal "full disk: what is there" "checkpoint-6" "$(cd "$work/disk/pretrain" && echo checkpoint-*)"
  mount -o remount,size=100m "$work/disk"
  run_trainer 5 "$work/good.yaml" "run_dir=$work/disk"
  equal "more room: goes on" 0 "$status"
  equal "more room: the same bytes" "$(fingerprint "$work/run")" "$(fingerprint "$work/disk")"
  umount "$work/disk"
  finish
}

# In a mount namespace of its own, so that nothing stays mounted.
if unshare --map-root-user --mount true 2>/dev/null; then
  export -f full_disk refused run_trainer equal contains trainer_lines left_behind fingerprint fail finish
  export work trainer
  failures=0 checks=0 unshare --map-root-user --mount bash -euo pipefail -c \
    'status=0; failures=0; checks=0; full_disk' || fail "full disk"
else
  echo "skipped: a full disk, for this system lets nobody mount a small one"
fi
finish
