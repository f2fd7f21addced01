// Finds what a tokenizer file describes by a string, a regular expression or a set of characters.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "data/tokenizer/unicode_sets.h"

namespace tandem::data {

struct Span {
  std::size_t begin;
  std::size_t end;
};

class Finder {
 public:
  virtual ~Finder() = default;
  // Appends the places in valid UTF-8 `text` that match: in order, none overlapping, some perhaps
  // empty.
  virtual void find(std::string_view text, std::vector<Span>& matches) const = 0;
};

// `literal` must not be empty.
std::unique_ptr<Finder> find_literal(std::string literal);
// Every member by itself. The set must outlive the finder.
std::unique_ptr<Finder> find_characters(const CharSet& set);
// \w+|[^\w\s]+
std::unique_ptr<Finder> find_words();
// A regular expression in the syntax that PCRE2 and Oniguruma (which Hugging Face uses) share.
// Throws Error "is not understood …" for one that PCRE2 does not read.
std::unique_ptr<Finder> find_regex(const std::string& pattern);

// `text` with every match replaced.
std::string replace_matches(const Finder& finder, std::string_view text, std::string_view content);

}  // namespace tandem::data
