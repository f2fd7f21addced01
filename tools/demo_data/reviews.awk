# id TAB rating TAB review  ->  order TAB split TAB id TAB rating TAB review
# Cleans, drops repeated texts and reviews under three words, and decides by the id alone which reviews are
# held out (about 1 in 20). `order` sorts into a fixed shuffle.
BEGIN { FS = "\t" }
{
  text = clean($3)
  if (NF != 3 || $1 !~ /^[0-9]+$/ || word_count(text) < 3 || (text in seen)) next
  seen[text] = 1
  printf "%010d\t%s\t%d\t%.4f\t%s\n", hash($1, 1), (hash($1, 2) % 20 == 0 ? "heldout" : "train"), $1, $2, text
}
