# "Headword: Definition." lines, as gcide.awk and jargon.awk leave them -> JSONL of pairs that belong together. Each
# headword once, so that no definition of it stands among the wrong answers of its own batch.
{
  at = index($0, ": ")
  term = substr($0, 1, at - 1)
  if (term in seen) next
  seen[term] = 1
  print "{\"anchor\": " json(term) ", \"positive\": " json(substr($0, at + 2)) "}"
}
