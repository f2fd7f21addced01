// A judge that training never sees: the mean valence of the words of a text by a sentiment lexicon
// (VADER's format), with simple handling of negation. If the reward model's score rises and this
// does not, the policy has learnt the reward model's quirks and not the task.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace tandem::rl {

struct LexiconScore {
  double mean_valence =
      0;  // over the rated words, in the lexicon's unit (−4 … 4 in VADER's); 0 without any
  double valence_per_word =
      0;  // sum of valences over all words: also says how much of the text is rated
  int rated_words = 0;
  int words = 0;
};

class LexiconScorer {
 public:
  // Lines of word<TAB>valence; further columns are ignored, as are empty lines. Error (usage) with
  // file and line where a line has no number or the file no entry.
  explicit LexiconScorer(const std::filesystem::path& path);

  // Words are runs of letters, digits, apostrophes and inner hyphens, in lower case (ASCII). A word
  // of the lexicon within three words after a negation (not, never, no, …, n't) counts −0.74 times,
  // the factor of Hutto & Gilbert 2014.
  LexiconScore score(std::string_view text) const;

  std::size_t size() const { return valence_.size(); }

 private:
  std::unordered_map<std::string, double> valence_;
};

}  // namespace tandem::rl
