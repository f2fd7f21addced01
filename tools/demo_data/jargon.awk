# The Jargon File in dictd's text form -> one entry a line, "headword: prose". Entries stand at column 0, their
# pronunciation at column 1, their paragraphs at column 4. Keeps paragraphs that are prose.
/^[^ ]/ { finish(); headword = $0; next }
/^    / { paragraph = paragraph " " $0; next }
/^ *$/ { keep_paragraph() }
END { finish() }

function keep_paragraph(    p) {
  gsub(/[{}]/, "", paragraph)
  p = clean(unwrapped(paragraph))
  sub(/^[0-9]+\. /, "", p); sub(/^(n|v|vt|vi|adj|adv|interj)\. /, "", p); gsub(/\[[^]]*\] ?/, "", p)
  if (length(p) >= 80 && p ~ /^[A-Z"]/ && p ~ /[.!?)"]$/ && p !~ /[^]A-Za-z0-9 ,.;:!?'"()\/&%$*-]/)
    entry = entry (entry == "" ? "" : " ") p
  paragraph = ""
}

function unwrapped(s) { gsub(/  +/, " ", s); return s }

function finish() {
  keep_paragraph()
  if (entry != "" && headword ~ /^[A-Za-z][A-Za-z -]*$/) print headword ": " entry
  entry = ""
}
