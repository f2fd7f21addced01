# Predicted seconds (first file) beside measured ones (second file, several lines for each layout): a table in the measured
# order, and whether the orders agree (bench/layouts.sh). Lines are "SECONDS LAYOUT".
function median(list,    x, n, i, j, t) {
  n = split(list, x, " ")
  for (i = 2; i <= n; ++i)
    for (j = i; j > 1 && x[j - 1] + 0 > x[j] + 0; --j) { t = x[j]; x[j] = x[j - 1]; x[j - 1] = t }
  low = x[1]; high = x[n]
  return n % 2 ? x[(n + 1) / 2] : (x[n / 2] + x[n / 2 + 1]) / 2
}
{ seconds = $1; sub(/^[^ ]* /, ""); layout = $0 }
FNR == NR { predicted[layout] = seconds; next }
{ rounds[layout] = rounds[layout] " " seconds }
END {
  for (layout in predicted) {
    measured[layout] = median(rounds[layout]); least[layout] = low; most[layout] = high
    order[++count] = layout
  }
  for (i = 2; i <= count; ++i)
    for (j = i; j > 1 && measured[order[j - 1]] > measured[order[j]]; --j) {
      t = order[j]; order[j] = order[j - 1]; order[j - 1] = t
    }
  printf "%d ranks: measured order, predicted rank\n", ranks
  printf "%9s %9s %15s  %9s  %s\n", "measured", "predicted", "seconds", "predicted", "layout"
  json = "{\"ranks\": " ranks ", \"layouts\": ["
  for (i = 1; i <= count; ++i) {
    layout = order[i]
    rank = 1
    for (j = 1; j <= count; ++j) if (predicted[order[j]] < predicted[layout]) ++rank
    printf "%9d %9d %7.4f ± %5.4f  %9.4f  %s\n", i, rank, measured[layout], (most[layout] - least[layout]) / 2, predicted[layout], layout
    json = json sprintf("%s\n  {\"layout\": \"%s\", \"measured_s\": %s, \"least_s\": %s, \"most_s\": %s, \"predicted_s\": %s}", i > 1 ? "," : "", layout, measured[layout], least[layout], most[layout], predicted[layout])
  }
  for (i = 1; i <= 5; ++i)
    for (j = i + 1; j <= count; ++j) {
      a = order[i]; b = order[j]
      if (least[b] <= most[a]) { ++ties; continue }
      ++pairs
      if (predicted[a] > predicted[b]) { ++wrong; printf "  predicted the other way round: %s before %s\n", b, a }
    }
  printf "%d pairs of one of the five fastest with another: %d in the measured order, %d not; %d ties\n\n", pairs + ties, pairs - wrong, wrong + 0, ties + 0
  print json "],\n \"pairs\": " pairs + 0 ", \"wrong\": " wrong + 0 ", \"ties\": " ties + 0 "}" > result
  exit wrong > 0
}
