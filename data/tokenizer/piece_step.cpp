#include "data/tokenizer/piece_step.h"

#include <algorithm>
#include <utility>

namespace tandem::data {
namespace {

struct Part {
  std::size_t begin;
  std::size_t end;
  bool is_delimiter;
};

// The whole of a text of `size` bytes: matches and what lies between.
std::vector<Part> parts_of(const std::vector<Span>& matches, std::size_t size, bool invert) {
  std::vector<Part> parts;
  std::size_t done = 0;
  for (const Span& match : matches) {
    if (match.begin != done) parts.push_back({done, match.begin, invert});
    parts.push_back({match.begin, match.end, !invert});
    done = match.end;
  }
  if (done != size) parts.push_back({done, size, invert});
  return parts;
}

// Joins parts with the ones before where `joins(is_delimiter, previous_is_delimiter)`.
template <typename Joins>
std::vector<Part> join(const std::vector<Part>& parts, Joins&& joins) {
  std::vector<Part> joined;
  bool previous = false;
  for (const Part& part : parts) {
    if (!joined.empty() && joins(part.is_delimiter, previous)) {
      joined.back().begin = std::min(joined.back().begin, part.begin);
      joined.back().end = std::max(joined.back().end, part.end);
    } else {
      joined.push_back(part);
    }
    previous = part.is_delimiter;
  }
  return joined;
}

std::vector<Part> arrange(std::vector<Part> parts, Delimiters delimiters) {
  const auto starts_delimiters = [](bool now, bool previous) { return now && !previous; };
  switch (delimiters) {
    case Delimiters::kIsolated:
      return parts;
    case Delimiters::kRemoved:
      std::erase_if(parts, [](const Part& part) { return part.is_delimiter; });
      return parts;
    case Delimiters::kContiguous:
      return join(parts, std::equal_to<>());
    case Delimiters::kMergedWithPrevious:
      return join(parts, starts_delimiters);
    case Delimiters::kMergedWithNext:
      std::reverse(parts.begin(), parts.end());
      parts = join(parts, starts_delimiters);
      std::reverse(parts.begin(), parts.end());
      return parts;
  }
  return parts;
}

// Builds the new list from what `cut(piece, out)` appends for each piece; cut returns whether its
// first piece starts where `piece` does.
template <typename Cut>
void rebuild(PieceList& pieces, Cut&& cut) {
  PieceList out;
  out.text.reserve(pieces.text.size() + pieces.text.size() / 8);
  std::size_t begin = 0;
  for (const std::size_t end : pieces.ends) {
    const bool starts = cut(std::string_view(pieces.text).substr(begin, end - begin), out);
    if (begin == 0) out.at_start = pieces.at_start && starts;
    begin = end;
  }
  pieces = std::move(out);
}

class DelimiterStep : public PieceStep {
 public:
  DelimiterStep(std::unique_ptr<Finder> finder, Delimiters delimiters, bool invert)
      : finder_(std::move(finder)), delimiters_(delimiters), invert_(invert) {}

  void apply(PieceList& pieces) const override {
    std::vector<Span> matches;
    rebuild(pieces, [&](std::string_view piece, PieceList& out) {
      matches.clear();
      finder_->find(piece, matches);
      const auto parts = arrange(parts_of(matches, piece.size(), invert_), delimiters_);
      for (const Part& part : parts) out.add(piece.substr(part.begin, part.end - part.begin));
      return !parts.empty() && parts.front().begin == 0;
    });
  }

 private:
  std::unique_ptr<Finder> finder_;
  Delimiters delimiters_;
  bool invert_;
};

class ScannerStep : public PieceStep {
 public:
  explicit ScannerStep(std::unique_ptr<PreTokenizer> scanner) : scanner_(std::move(scanner)) {}

  void apply(PieceList& pieces) const override {
    std::vector<std::size_t> ends;
    std::vector<std::size_t> all;
    std::size_t begin = 0;
    for (const std::size_t end : pieces.ends) {
      const auto piece = std::string_view(pieces.text).substr(begin, end - begin);
      ends.clear();
      for (std::size_t at = 0; at < piece.size();) at = scanner_->split(piece, at, ends);
      for (const std::size_t cut : ends) all.push_back(begin + cut);
      begin = end;
    }
    pieces.ends = std::move(all);
  }

 private:
  std::unique_ptr<PreTokenizer> scanner_;
};

class Metaspace : public PieceStep {
 public:
  Metaspace(std::string replacement, PrependScheme scheme, bool split)
      : replacement_(std::move(replacement)), scheme_(scheme) {
    if (split) split_ = split_at(find_literal(replacement_), Delimiters::kMergedWithNext, false);
  }

  void apply(PieceList& pieces) const override {
    bool at_start = pieces.at_start;
    rebuild(pieces, [&](std::string_view piece, PieceList& out) {
      std::string text = replace_matches(*space_, piece, replacement_);
      const bool prepend = scheme_ == PrependScheme::kAlways ||
                           (scheme_ == PrependScheme::kFirst && std::exchange(at_start, false));
      if (prepend && !text.starts_with(replacement_)) text.insert(0, replacement_);
      out.add(text);
      return true;
    });
    if (split_) split_->apply(pieces);
  }

 private:
  std::unique_ptr<Finder> space_ = find_literal(" ");
  std::string replacement_;
  PrependScheme scheme_;
  PieceStepPtr split_;
};

class PrefixSpace : public PieceStep {
 public:
  void apply(PieceList& pieces) const override {
    rebuild(pieces, [](std::string_view piece, PieceList& out) {
      if (!piece.starts_with(' ')) out.text += ' ';
      out.add(piece);
      return true;
    });
  }
};

}  // namespace

void PieceList::add(std::string_view piece) {
  if (piece.empty()) return;
  text += piece;
  ends.push_back(text.size());
}

PieceStepPtr split_at(std::unique_ptr<Finder> finder, Delimiters delimiters, bool invert) {
  return std::make_unique<DelimiterStep>(std::move(finder), delimiters, invert);
}
PieceStepPtr split_by(std::unique_ptr<PreTokenizer> pre_tokenizer) {
  return std::make_unique<ScannerStep>(std::move(pre_tokenizer));
}
PieceStepPtr make_metaspace(std::string replacement, PrependScheme scheme, bool split) {
  return std::make_unique<Metaspace>(std::move(replacement), scheme, split);
}
PieceStepPtr make_prefix_space() {
  return std::make_unique<PrefixSpace>();
}

}  // namespace tandem::data
