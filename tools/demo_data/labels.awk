# Reviews as reviews.awk leaves them -> JSONL with what people felt: the sign of the rating as a label, and the rating
# itself. Those within `gap` of 0 are left out: people did not agree about them.
BEGIN { FS = "\t" }
$4 >= gap || $4 <= -gap {
  print "{\"text\": " json($5) ", \"label\": \"" ($4 > 0 ? "positive" : "negative") "\", \"rating\": " $4 "}"
}
