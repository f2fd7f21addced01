# Functions shared by the conversion's awk programs (any POSIX awk, in the C locale: characters are bytes).

# The text as a person would type it: entities and typewriter quotes resolved, one space between words.
function clean(s) {
  gsub(/\r/, "", s)
  gsub(/&quot;/, "\"", s); gsub(/&lt;/, "<", s); gsub(/&gt;/, ">", s); gsub(/&#0?39;|&apos;/, "'", s)
  gsub(/&nbsp;/, " ", s); gsub(/&amp;/, "\\&", s)
  gsub(/‘|’/, "'", s); gsub(/“|”/, "\"", s); gsub(/–|—/, "   ", s); gsub(/…/, "...", s)
  gsub(/''|``/, "\"", s); gsub(/`/, "'", s)
  gsub(/[\001-\010\013-\037\177]/, "", s); gsub(/\t/, " ", s)
  gsub(/ +,/, ",", s); gsub(/ +;/, ";", s); gsub(/ +!/, "!", s); gsub(/ +\?/, "?", s)
  sub(/^ +/, "", s); sub(/ +$/, "", s)
  gsub(/    */, " - ", s)  # the sources lost their dashes and kept the spaces around them
  gsub(/  /, " ", s)
  return s
}

# A JSON string literal. clean() has left no control character.
function json(s) {
  gsub(/\\/, "&&", s); gsub(/"/, "\\\"", s)
  return "\"" s "\""
}

# A number in [0, 67108859) that depends on the id and the purpose alone: the source of every "random" choice.
# Squares modulo a prime below 2^26, so that a double holds every step exactly.
function hash(id, purpose,    h, i) {
  h = (7919 * id + 104729 * purpose + 12345) % 67108859
  for (i = 0; i < 4; i++) h = (h * h + id + 1000003 * i) % 67108859
  return h
}

# The first n words of s, which has single spaces.
function first_words(s, n,    w, i, r) {
  split(s, w, " ")
  r = w[1]
  for (i = 2; i <= n; i++) r = r " " w[i]
  return r
}

function word_count(s,    w) { return split(s, w, " ") }
