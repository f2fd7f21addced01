// Pre-tokenizers as steps of a chain: each cuts the pieces of the one before further, may drop some
// of the text or change it. A tokenizer whose pre-tokenizer only cuts runs without this, straight
// on the text (pre_tokenizer.h).
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "data/tokenizer/finder.h"
#include "data/tokenizer/pre_tokenizer.h"

namespace tandem::data {

// A text in pieces that follow each other without gaps, none empty.
struct PieceList {
  std::string text;
  std::vector<std::size_t> ends;
  bool at_start = false;  // the first piece starts where the whole input started

  void add(std::string_view piece);
};

class PieceStep {
 public:
  virtual ~PieceStep() = default;
  virtual void apply(PieceList& pieces) const = 0;
};

using PieceStepPtr = std::unique_ptr<PieceStep>;

// What becomes of the delimiters that a step found.
enum class Delimiters { kRemoved, kIsolated, kMergedWithPrevious, kMergedWithNext, kContiguous };

enum class PrependScheme { kAlways, kFirst, kNever };

// With `invert` what lies between the matches is the delimiters.
PieceStepPtr split_at(std::unique_ptr<Finder> finder, Delimiters delimiters, bool invert);
PieceStepPtr split_by(std::unique_ptr<PreTokenizer> pre_tokenizer);
// Spaces become `replacement`; pieces that do not start with one get it as `scheme` says; with
// `split` every replacement starts a piece.
PieceStepPtr make_metaspace(std::string replacement, PrependScheme scheme, bool split);
// A piece that starts with no space gets one.
PieceStepPtr make_prefix_space();

}  // namespace tandem::data
