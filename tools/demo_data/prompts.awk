# Reviews as reviews.awk leaves them -> JSONL. mode=sft: a prompt of 3 to 6 words and the rest of the review
# (prompt and completion together are the review, so the completion starts with its space); mode=prompts: the
# prompt alone, each once, and none of those in the file `except`.
BEGIN {
  FS = "\t"
  while (except != "" && (getline line < except) > 0) seen[line] = 1
}
{
  words = word_count($5)
  if (words < 7) next
  n = 3 + hash($3, 3) % 4
  if (n > words - 3) n = words - 3
  prompt = first_words($5, n)
  record = "{\"prompt\": " json(prompt)
  if (mode == "sft") {
    print record ", \"completion\": " json(substr($5, length(prompt) + 1)) "}"
  } else {
    record = record "}"
    if (!(record in seen)) print record
    seen[record] = 1
  }
}
