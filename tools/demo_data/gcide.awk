# GCIDE (Webster 1913) in dictd's text form -> "Headword: Definition." lines. An entry starts at column 0 with
# 'Headword \pronunciation\ …, n. [etymology]'; its definitions follow as paragraphs at column 3, each closed
# by a line [source]; a numbered one goes on at column 6. Keeps definitions that are plain prose.
/^[^ ]/ { headword = $0; sub(/ *\\.*/, "", headword); in_head = 1; depth = 0; paragraph = "" }
in_head {
  depth += gsub(/\[/, "[") - gsub(/\]/, "]")
  if (depth <= 0) in_head = 0
  next
}
/^   [^ []/ || (paragraph != "" && /^      [^ []/) { paragraph = paragraph " " $0; next }
{ keep_paragraph() }

function keep_paragraph(    p) {
  p = paragraph
  paragraph = ""
  gsub(/[{}]/, "", p); gsub(/\[[^]]*\]/, "", p); gsub(/  +/, " ", p)
  p = clean(p)
  sub(/^[0-9]+\. /, "", p); sub(/^\([a-z]\) /, "", p); sub(/^\([A-Z][A-Za-z. ]*\) /, "", p)
  if (length(p) >= 40 && length(p) <= 300 && p ~ /^[A-Z][A-Za-z ,;:'()-]*\.$/ && headword ~ /^[A-Z][a-z]+$/)
    print headword ": " p
}
