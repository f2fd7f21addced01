#include <fmt/format.h>

#include "data/tokenizer/hf_readers.h"
#include "data/tokenizer/piece_step.h"

namespace tandem::data {
namespace {

Delimiters read_delimiters(const JsonObject& part) {
  const std::string behavior = part.string("behavior");
  if (behavior == "Removed") return Delimiters::kRemoved;
  if (behavior == "Isolated") return Delimiters::kIsolated;
  if (behavior == "MergedWithPrevious") return Delimiters::kMergedWithPrevious;
  if (behavior == "MergedWithNext") return Delimiters::kMergedWithNext;
  if (behavior == "Contiguous") return Delimiters::kContiguous;
  part.fail_key("behavior", fmt::format("'{}' is not supported (supported: Removed, Isolated, "
                                        "MergedWithPrevious, MergedWithNext, Contiguous)",
                                        behavior));
}

// Collects the parts in order; a chain of one scanner needs no steps.
class ChainReader {
 public:
  void read(const JsonObject& part, const std::string& type) {
    if (byte_level_)
      part.fail(fmt::format("of type '{}' is not supported after a ByteLevel", type));
    if (type == "ByteLevel") return read_byte_level(part);
    if (type == "Split") return read_split(part);
    if (type == "Metaspace") return read_metaspace(part);
    if (type == "BertPreTokenizer") {
      remove(find_characters(CharSet::white_space()));
      return add(split_at(punctuation(), Delimiters::kIsolated, false));
    }
    if (type == "Whitespace") return add(split_at(find_words(), Delimiters::kRemoved, true));
    if (type == "WhitespaceSplit") return remove(find_characters(CharSet::white_space()));
    if (type == "Punctuation") {
      const auto delimiters = part.has("behavior") ? read_delimiters(part) : Delimiters::kIsolated;
      return add(split_at(punctuation(), delimiters, false));
    }
    if (type == "Digits")
      return add(split_at(find_characters(CharSet::numeric()),
                          part.boolean("individual_digits", false) ? Delimiters::kIsolated
                                                                   : Delimiters::kContiguous,
                          false));
    refuse_type(part, type,
                "BertPreTokenizer, ByteLevel, Digits, Metaspace, Punctuation, Sequence, Split, "
                "Whitespace, WhitespaceSplit");
  }

  bool finish(TokenizerParts& parts) {
    if (steps_.empty()) {
      parts.pre_tokenizer = scanner_ ? std::move(scanner_) : make_whole_pre_tokenizer();
    } else {
      flush_scanner();
      parts.piece_steps = std::move(steps_);
    }
    return byte_level_;
  }

 private:
  static std::unique_ptr<Finder> punctuation() { return find_characters(CharSet::punctuation()); }

  void read_byte_level(const JsonObject& part) {
    if (part.boolean("add_prefix_space", true)) add(make_prefix_space());
    if (part.boolean("use_regex", true)) add_scanner(make_gpt2_pre_tokenizer());
    byte_level_ = true;
  }

  void read_split(const JsonObject& part) {
    const Delimiters delimiters = read_delimiters(part);
    const bool invert = part.boolean("invert", false);
    // These patterns match all of a text, so what becomes of the rest does not matter.
    const bool keeps_matches =
        delimiters == Delimiters::kIsolated || (delimiters == Delimiters::kRemoved && invert);
    const JsonObject pattern = part.object("pattern");
    if (keeps_matches && pattern.has("Regex"))
      if (auto scanner = make_known_pre_tokenizer(pattern.string("Regex")))
        return add_scanner(std::move(scanner));
    add(split_at(read_pattern(part), delimiters, invert));
  }

  void read_metaspace(const JsonObject& part) {
    add(make_metaspace(part.string("replacement"), read_prepend_scheme(part),
                       part.boolean("split", true)));
  }

  void remove(std::unique_ptr<Finder> finder) {
    add(split_at(std::move(finder), Delimiters::kRemoved, false));
  }
  void add(PieceStepPtr step) {
    flush_scanner();
    steps_.push_back(std::move(step));
  }
  void add_scanner(std::unique_ptr<PreTokenizer> scanner) {
    flush_scanner();
    scanner_ = std::move(scanner);
  }
  void flush_scanner() {
    if (scanner_) steps_.push_back(split_by(std::move(scanner_)));
  }

  std::vector<PieceStepPtr> steps_;
  std::unique_ptr<PreTokenizer> scanner_;  // after the steps
  bool byte_level_ = false;
};

}  // namespace

PrependScheme read_prepend_scheme(const JsonObject& part) {
  // Files from before 2024 have add_prefix_space instead.
  const bool add_prefix_space = part.boolean("add_prefix_space", true);
  const std::string scheme = part.has("prepend_scheme") ? part.string("prepend_scheme")
                             : add_prefix_space         ? "always"
                                                        : "never";
  if (!add_prefix_space && scheme != "never")
    part.fail_key("add_prefix_space", fmt::format("contradicts prepend_scheme '{}'", scheme));
  if (scheme == "always") return PrependScheme::kAlways;
  if (scheme == "first") return PrependScheme::kFirst;
  if (scheme == "never") return PrependScheme::kNever;
  part.fail_key("prepend_scheme",
                fmt::format("'{}' is not supported (supported: always, first, never)", scheme));
}

bool read_pre_tokenizer(const JsonObject& root, TokenizerParts& parts) {
  ChainReader chain;
  if (root.has("pre_tokenizer"))
    for_each_part(root.object("pre_tokenizer"), "pretokenizers",
                  [&](const JsonObject& part, const std::string& type) { chain.read(part, type); });
  return chain.finish(parts);
}

}  // namespace tandem::data
