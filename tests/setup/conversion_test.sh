#!/usr/bin/env bash
# The demo's training files, converted from a small sample in the form of the real packages' texts.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/../support/check.sh"
export LC_ALL=C

sample=$root/tests/setup/sample
out=$work/out
MOVIE_COPIES=1 "$root/tools/demo_data/convert.sh" "$sample" "$out" >"$work/counts"

line_with() { grep -F -- "$1" "$out/$2" || echo "(no such line in $2)"; }

# Every string of the field in a JSONL file, still in JSON's escapes.
field() { grep -o "\"$1\": \"\([^\"\\\\]\|\\\\.\)*\"" "$out/$2" | cut -d ' ' -f 2- | sed 's/^"//; s/"$//'; }

cleans_text() {
  equal "quotes, dashes, entities" 'A "small wonder" of a film - bright, brisk & kind .' "$(line_with wonder pretrain.txt)"
  equal "spaces before a comma" "The plot (if that's the word) goes C:\\nowhere, slowly ." "$(line_with nowhere pretrain.txt)"
  equal "UTF-8 stays, typographic marks go" "Lovely - the café scene alone is worth the ticket 'tonight'." \
    "$(line_with café pretrain.txt)"
  equal "control characters and bytes that are not UTF-8" \
    "Bad control and a broken byte here are dropped from view." "$(line_with control pretrain.txt)"
  equal "a repeated review" 1 "$(grep -c -F "The movie is a dull and noisy chore" "$out/pretrain.txt")"
  equal "reviews under three words" 0 "$(grep -c "Too short" "$out/pretrain.txt" || true)"
}

finds_prose() {
  equal "sentences of an article, in order" \
    'A plan was made. Nobody had asked for it. The "plan" was dropped.' "$(line_with "A plan was made" pretrain.txt)"
  equal "jargon entry" \
    "nap: What a program takes while it waits for another program that is itself asleep. Said to be catching." \
    "$(line_with "nap: " pretrain.txt)"
  contains "numbered jargon entry" "$(line_with "dream cycle: " pretrain.txt)" "dream cycle: The part of a nap in which"
  equal "definition after an etymology" \
    "Lanternist: One who carries a lantern before others in the dark, for hire or for friendship." \
    "$(line_with Lanternist pretrain.txt)"
  equal "definition" "Mapless: Having no map; hence, walking by the sun and by the stars." \
    "$(line_with Mapless pretrain.txt)"
  equal "nothing but definitions" 2 "$(grep -c -E '^(Lanternist|Mapless|Short|A quotation)' "$out/pretrain.txt")"
}

writes_valid_json() {
  local file string='"([^"\\]|\\["\\])*"'
  local fields="\"(prompt|completion|chosen|rejected|text|label|anchor|positive)\": $string"
  fields+="|\"(margin|rating)\": -?[0-9]+\\.[0-9]+"
  for file in "$out"/*.jsonl; do
    equal "lines of ${file##*/} that are no JSON object" "" "$(grep -v -E "^\{($fields)(, ($fields))*\}\$" "$file" || true)"
    checks=$((checks + 1))
    [[ -s $file ]] || fail "${file##*/} is empty"
  done
  for file in "$out"/*; do succeeds "${file##*/} is UTF-8" iconv -f UTF-8 -t UTF-8 "$file"; done
  contains "backslash and quote in JSON" "$(cat "$out/sft.jsonl")" 'C:\\nowhere'
  contains "backslash and quote in JSON" "$(cat "$out/preferences.jsonl")" 'A \"small wonder\" of'
}

keeps_held_out_reviews_apart() {
  local part
  for part in "Held out: a" "Another held out" "this held out review"; do
    equal "training lines with '$part'" "" \
      "$(cd "$out" && grep -l -F -- "$part" pretrain.txt sft.jsonl prompts.jsonl preferences.jsonl dpo.jsonl \
        labels.jsonl || true)"
  done
  contains "held-out preferences" "$(cat "$out/preferences_heldout.jsonl")" "Held out: a"
  contains "held-out prompts" "$(cat "$out/prompts_heldout.jsonl")" "Held out: a"
  equal "prompts both in training and held out" "" \
    "$(sort -u "$out/prompts.jsonl" | comm -12 - <(sort -u "$out/prompts_heldout.jsonl"))"
}

splits_prompt_and_completion() {
  paste -d '\0' <(field prompt sft.jsonl) <(field completion sft.jsonl) | sed 's/\\\(.\)/\1/g' | sort >"$work/joined"
  equal "prompt + completion that are no review" "" "$(sort -u "$out/pretrain.txt" | comm -23 "$work/joined" -)"
  equal "words of prompts" "" "$(field prompt sft.jsonl | awk 'NF < 3 || NF > 6')"
  equal "prompts of sft are the prompts" "$(field prompt sft.jsonl | sort -u)" "$(field prompt prompts.jsonl | sort)"
}

pairs_by_human_rating() {
  equal "margins under 1.5" "" "$(grep -o '"margin": [0-9.]*' "$out/preferences.jsonl" | awk '$2 < 1.5')"
  contains "a pair" "$(cat "$out/preferences.jsonl" "$out/preferences_heldout.jsonl")" '"margin": 4.1'
  equal "reviews chosen over better ones" "" "$(field rejected preferences.jsonl | grep -E "pleasure|grace|earns" || true)"
  equal "reviews in more than four pairs" "" \
    "$({ field chosen preferences.jsonl; field rejected preferences.jsonl; } | sort | uniq -c | awk '$1 > 4')"
  equal "dpo pairs: good before bad" "" "$(field rejected dpo.jsonl | grep -E "pleasure|grace|earns" || true)"
  equal "dpo prompts have two or three words" "" "$(field prompt dpo.jsonl | awk 'NF < 2 || NF > 3')"
  equal "reviews in two dpo pairs" "" "$(for side in chosen rejected; do
    paste -d '\0' <(field prompt dpo.jsonl) <(field "$side" dpo.jsonl); done | sort | uniq -d)"
}

labels_by_human_rating() {
  contains "a good review" "$(line_with grace labels.jsonl)" '"label": "positive", "rating": '
  equal "labels that are not the rating's sign" "" \
    "$(cat "$out"/labels*.jsonl | grep -E '"positive", "rating": -|"negative", "rating": [0-9]' || true)"
  equal "ratings near 0" "" "$(grep -h -o '"rating": .*}' "$out"/labels*.jsonl | tr -d '}' | awk '$2 * $2 < 0.25')"
  contains "held-out labels" "$(cat "$out/labels_heldout.jsonl")" "Held out: a"
}

pairs_terms_with_definitions() {
  equal "a term" \
    '{"anchor": "Mapless", "positive": "Having no map; hence, walking by the sun and by the stars."}' \
    "$(line_with Mapless pairs.jsonl)"
  equal "terms that come twice" "" "$(field anchor pairs.jsonl | sort | uniq -d)"
}

reads_the_lexicon() {
  equal "lexicon" $'good\t1.9\nbad\t-2.5\n:)\t2.0' "$(cat "$out/lexicon.tsv")"
}

is_the_same_each_time() {
  MOVIE_COPIES=1 "$root/tools/demo_data/convert.sh" "$sample" "$work/again" >/dev/null
  succeeds "the same files a second time" diff -r "$out" "$work/again"
}

does_without_dictionaries() {
  mkdir "$work/bare"
  cp "$sample"/*Snippets* "$sample/vader_lexicon.txt" "$work/bare"
  succeeds "without dictionaries" "$root/tools/demo_data/convert.sh" "$work/bare" "$work/bare_out"
  succeeds "the same preferences" cmp "$out/preferences.jsonl" "$work/bare_out/preferences.jsonl"
}

cleans_text
finds_prose
writes_valid_json
keeps_held_out_reviews_apart
splits_prompt_and_completion
pairs_by_human_rating
labels_by_human_rating
pairs_terms_with_definitions
reads_the_lexicon
is_the_same_each_time
does_without_dictionaries
finish
