# "12_3 TAB rating TAB sentence", sorted by article and sentence -> one article a line.
BEGIN { FS = "\t" }
{
  split($1, part, "_")
  if (part[1] != article && article_text != "") { print article_text; article_text = "" }
  article = part[1]
  article_text = article_text (article_text == "" ? "" : " ") clean($3)
}
END { if (article_text != "") print article_text }
