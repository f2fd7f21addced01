# Reviews as reviews.awk leaves them -> preference pairs that share a prompt: reviews that open with the same
# three words (then, among those left over, the same two) are paired best with worst, second best with second
# worst, … while the human ratings differ by at least `gap`. A review appears in one pair at most.
BEGIN { FS = "\t" }
{ rating[NR] = $4; text[NR] = $5; words[NR] = word_count($5) }
END {
  for (n = 3; n >= 2; n--) pair_by_opening(n)
}

function pair_by_opening(n,    i, opening, member, count, order, groups) {
  groups = 0
  for (i = 1; i <= NR; i++) {
    if ((i in used) || words[i] < n + 3) continue
    opening = first_words(text[i], n)
    if (!(opening in count)) order[++groups] = opening
    member[opening, ++count[opening]] = i
  }
  for (i = 1; i <= groups; i++) pair_group(order[i], member, count[order[i]])
}

function pair_group(opening, member, size,    i, j, t, sorted) {
  for (i = 1; i <= size; i++) {
    t = member[opening, i]
    for (j = i - 1; j >= 1 && rating[sorted[j]] < rating[t]; j--) sorted[j + 1] = sorted[j]
    sorted[j + 1] = t
  }
  for (i = 1; i < size + 1 - i; i++) {
    j = size + 1 - i
    if (rating[sorted[i]] - rating[sorted[j]] < gap) return
    used[sorted[i]] = used[sorted[j]] = 1
    printf "{\"prompt\": %s, \"chosen\": %s, \"rejected\": %s}\n", json(opening),
           json(substr(text[sorted[i]], length(opening) + 1)),
           json(substr(text[sorted[j]], length(opening) + 1))
  }
}
