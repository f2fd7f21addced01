#!/usr/bin/env bash
# convert.sh SOURCES OUT: turns the texts of the fetched packages into the demo's training files, with no more
# than awk, sort and iconv. SOURCES holds movieReviewSnippets_GroundTruth.txt, nytEditorialSnippets_GroundTruth.txt,
# vader_lexicon.txt and, where they could be had, gcide.txt and jargon.txt. README.md describes what comes out.
set -euo pipefail
export LC_ALL=C
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
source "$here/../setup/common.sh"
sources=$1
out=$2

movie_copies=${MOVIE_COPIES:-2}
dictionary_bytes=${DICTIONARY_BYTES:-500000}
jargon_bytes=${JARGON_BYTES:-600000}
preference_rounds=2
heldout_rounds=3
rating_gap=1.5
label_gap=0.5
pairs_bytes=2000000

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# A file's text without bytes that are not UTF-8; iconv's status for having dropped some is 0 or 1.
valid_utf8() {
  [[ -r $1 ]] || die "there is no $1"
  iconv -c -f UTF-8 -t UTF-8 -- "$1" || [[ $? -eq 1 ]]
}

convert() { # convert PROGRAM [name=value …] [FILE …]
  local program=$1
  shift
  awk -f "$here/text.awk" -f "$here/$program.awk" "$@"
}

# Standard input in a fixed shuffle, its first lines up to a number of bytes.
shuffled() { convert shuffle | sort | convert shuffle strip=1 max_bytes="${1:-}"; }

# Cleans the reviews and splits them; everything below reads $work/train or $work/heldout.
split_reviews() {
  valid_utf8 "$sources/movieReviewSnippets_GroundTruth.txt" | convert reviews | sort >"$work/reviews"
  awk -F '\t' '$2 == "train"' "$work/reviews" >"$work/train"
  awk -F '\t' '$2 == "heldout"' "$work/reviews" >"$work/heldout"
}

# "Headword: Definition." lines of a dictionary, up to a number of bytes; nothing where it is not here.
definitions() { # definitions NAME MAX_BYTES
  [[ -f $sources/$1.txt ]] || return 0
  valid_utf8 "$sources/$1.txt" | convert "$1" | shuffled "$2"
}

write_pretrain() {
  local copy
  {
    for ((copy = 0; copy < movie_copies; copy++)); do cut -f 5 "$work/train"; done
    valid_utf8 "$sources/nytEditorialSnippets_GroundTruth.txt" | sort -t _ -k 1,1n -k 2,2n | convert articles
    definitions jargon "$jargon_bytes"
    definitions gcide "$dictionary_bytes"
  } | shuffled >"$out/pretrain.txt"
}

write_training_files() {
  convert prompts mode=sft "$work/train" >"$out/sft.jsonl"
  convert prompts mode=prompts "$work/train" >"$out/prompts.jsonl"
  convert preferences rounds="$preference_rounds" gap="$rating_gap" "$work/train" >"$out/preferences.jsonl"
  convert shared_prompts gap="$rating_gap" "$work/train" | shuffled >"$out/dpo.jsonl"
  convert labels gap="$label_gap" "$work/train" >"$out/labels.jsonl"
  { definitions jargon ""; definitions gcide "$pairs_bytes"; } | shuffled | convert pairs >"$out/pairs.jsonl"
}

# What measures: held-out reviews, and a lexicon that no training file is made from.
write_evaluation_files() {
  convert prompts -v mode=prompts -v except="$out/prompts.jsonl" "$work/heldout" >"$out/prompts_heldout.jsonl"
  convert preferences rounds="$heldout_rounds" gap="$rating_gap" "$work/heldout" >"$out/preferences_heldout.jsonl"
  convert labels gap="$label_gap" "$work/heldout" >"$out/labels_heldout.jsonl"
  valid_utf8 "$sources/vader_lexicon.txt" | tr -d '\r' |
    awk -F '\t' 'NF >= 2 && $2 ~ /^-?[0-9.]+$/ && !seen[$1]++ { print $1 "\t" $2 }' >"$out/lexicon.tsv"
}

print_counts() {
  local file
  for file in pretrain.txt sft.jsonl prompts.jsonl preferences.jsonl dpo.jsonl labels.jsonl pairs.jsonl \
    prompts_heldout.jsonl preferences_heldout.jsonl labels_heldout.jsonl lexicon.tsv; do
    printf '  %-26s %7d lines %9d bytes\n' "$file" "$(wc -l <"$out/$file")" "$(wc -c <"$out/$file")"
  done
}

mkdir -p "$out"
split_reviews
write_pretrain
write_training_files
write_evaluation_files
print_counts
