#include "rl/lexicon_scorer.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <fstream>

#include "runtime/base/error.h"

namespace tandem::rl {
namespace {

constexpr std::size_t kNegationReach = 3;
constexpr double kNegationFactor = -0.74;

constexpr std::array<std::string_view, 19> kNegations = {
    "not",     "no",     "never",   "none",    "nobody",   "nothing", "nowhere",
    "neither", "nor",    "without", "hardly",  "scarcely", "barely",  "rarely",
    "seldom",  "cannot", "ain't",   "despite", "lack"};

char lower(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}

bool is_word_char(char c) {
  const char l = lower(c);
  // Bytes of multi-byte UTF-8 characters are letters here.
  return (l >= 'a' && l <= 'z') || (c >= '0' && c <= '9') || c == '\'' || c == '-' ||
         static_cast<unsigned char>(c) >= 0x80;
}

std::string trimmed(std::string word) {
  const auto is_edge = [](char c) { return c == '\'' || c == '-'; };
  while (!word.empty() && is_edge(word.back())) word.pop_back();
  const auto first = std::find_if_not(word.begin(), word.end(), is_edge);
  word.erase(word.begin(), first);
  return word;
}

std::vector<std::string> words_of(std::string_view text) {
  std::vector<std::string> words;
  std::string word;
  const auto finish = [&] {
    word = trimmed(std::move(word));
    if (!word.empty()) words.push_back(word);
    word.clear();
  };
  for (const char c : text) {
    if (is_word_char(c)) {
      word.push_back(lower(c));
    } else {
      finish();
    }
  }
  finish();
  return words;
}

bool is_negation(std::string_view word) {
  return word.ends_with("n't") ||
         std::find(kNegations.begin(), kNegations.end(), word) != kNegations.end();
}

bool is_negated(const std::vector<std::string>& words, std::size_t position) {
  const std::size_t first = position - std::min(position, kNegationReach);
  return std::any_of(words.begin() + static_cast<std::ptrdiff_t>(first),
                     words.begin() + static_cast<std::ptrdiff_t>(position), is_negation);
}

double parse_valence(std::string_view line, std::size_t tab, const std::string& file, int number) {
  double valence = 0;
  const std::string_view rest = tab == std::string_view::npos ? "" : line.substr(tab + 1);
  const auto [stop, code] = std::from_chars(rest.data(), rest.data() + rest.size(), valence);
  const bool ends = stop == rest.data() + rest.size() || *stop == '\t' || *stop == '\r';
  if (tab == 0 || code != std::errc() || !ends) {
    runtime::throw_error("{}:{}: expected word<TAB>number in a lexicon, found '{}'", file, number,
                         line.substr(0, 60));
  }
  return valence;
}

}  // namespace

LexiconScorer::LexiconScorer(const std::filesystem::path& path) {
  std::ifstream file(path);
  if (!file) {
    runtime::throw_error("{}: cannot read the lexicon; check the path and its permissions",
                         path.string());
  }
  int number = 0;
  for (std::string line; std::getline(file, line);) {
    ++number;
    if (line.empty() || line == "\r") continue;
    const std::size_t tab = line.find('\t');
    const double valence = parse_valence(line, tab, path.string(), number);
    std::string word = line.substr(0, tab);
    std::transform(word.begin(), word.end(), word.begin(), lower);
    valence_.insert_or_assign(std::move(word), valence);
  }
  if (valence_.empty()) {
    runtime::throw_error("{}: the lexicon is empty; expected lines of word<TAB>number",
                         path.string());
  }
}

LexiconScore LexiconScorer::score(std::string_view text) const {
  const std::vector<std::string> words = words_of(text);
  LexiconScore result;
  double sum = 0;
  for (std::size_t i = 0; i < words.size(); ++i) {
    const auto found = valence_.find(words[i]);
    if (found == valence_.end()) continue;
    sum += found->second * (is_negated(words, i) ? kNegationFactor : 1.0);
    ++result.rated_words;
  }
  result.words = static_cast<int>(words.size());
  if (result.rated_words > 0) result.mean_valence = sum / result.rated_words;
  if (result.words > 0) result.valence_per_word = sum / result.words;
  return result;
}

}  // namespace tandem::rl
