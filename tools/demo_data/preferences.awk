# Reviews as reviews.awk leaves them -> pairs whose human ratings differ by at least `gap`. Each round pairs a
# fixed shuffle of the reviews with itself moved by another step, so a review appears at most twice a round.
BEGIN { FS = "\t" }
{ id[NR] = $3; rating[NR] = $4; text[NR] = $5 }
END {
  for (round = 1; round <= rounds; round++) {
    step = 1 + hash(round, 4) % (NR - 1)
    for (i = 1; i <= NR; i++) emit(i, (i - 1 + step) % NR + 1)
  }
}

function emit(a, b,    t) {
  if (rating[a] < rating[b]) { t = a; a = b; b = t }
  if (rating[a] - rating[b] < gap || ((a, b) in used)) return
  used[a, b] = 1
  printf "{\"prompt\": \"\", \"chosen\": %s, \"rejected\": %s, \"margin\": %.2f}\n",
         json(text[a]), json(text[b]), rating[a] - rating[b]
}
