// Sets of characters that normalizers and pre-tokenizers ask for, as Hugging Face `tokenizers`
// 0.23.3 has them (tables of our own for the reason given in unicode_class.h).
#pragma once

#include <vector>

namespace tandem::data {

class CharSet {
 public:
  // What BertNormalizer's clean_text removes: U+0000, U+FFFD, controls but tab and line ends.
  static const CharSet& bert_control();
  // What BertNormalizer's strip_accents removes after decomposing.
  static const CharSet& nonspacing_marks();
  // What StripAccents removes.
  static const CharSet& combining_marks();
  // ASCII signs and \p{P}.
  static const CharSet& punctuation();
  static const CharSet& numeric();
  // \w
  static const CharSet& word();
  static const CharSet& white_space();

  bool contains(char32_t c) const { return members_[c]; }

 private:
  CharSet() : members_(0x110000, false) {}
  template <typename Ranges>
  static CharSet of(const Ranges& ranges);

  std::vector<bool> members_;
};

}  // namespace tandem::data
