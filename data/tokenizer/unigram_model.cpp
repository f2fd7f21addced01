#include "data/tokenizer/unigram_model.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "data/utf8.h"
#include "runtime/base/error.h"

namespace tandem::data {
namespace {

constexpr double kUnknownPenalty = 10;
// Where SentencePiece's sums in single precision start again, so as to stay exact enough.
constexpr double kLargestSum = 100000;

std::vector<std::pair<std::string, TokenId>> sought_tokens(const UnigramModel::Options& options) {
  std::vector<std::pair<std::string, TokenId>> result;
  for (std::size_t id = 0; id < options.tokens.size(); ++id)
    if (id >= options.hidden.size() || !options.hidden[id])
      result.emplace_back(options.tokens[id].first, static_cast<TokenId>(id));
  return result;
}

}  // namespace

struct UnigramModel::Lattice : WordModel::Scratch {
  std::vector<Node> nodes;
  std::vector<const Node*> path;
};

UnigramModel::UnigramModel(const Options& options)
    : trie_(sought_tokens(options)),
      unknown_(options.unknown),
      fallback_(options.fallback),
      as_sentencepiece_(options.as_sentencepiece) {
  double lowest = std::numeric_limits<double>::infinity();
  for (const auto& [token, score] : options.tokens) {
    scores_.push_back(score);
    lowest = std::min(lowest, score);
  }
  unknown_score_ = rounded(lowest - kUnknownPenalty);
}

std::unique_ptr<TokenModel::Workspace> UnigramModel::make_workspace() const {
  return std::make_unique<Lattice>();
}

void UnigramModel::reach(Node& node, std::uint32_t begin, TokenId id, double score) const {
  score = rounded(score);
  if (!node.reached || score > node.score) node = {id, true, begin, score};
}

void UnigramModel::start_from_zero(std::span<Node> nodes) const {
  const double offset = nodes.front().score;
  for (Node& node : nodes)
    if (node.reached) node.score = rounded(node.score - offset);
}

void UnigramModel::find_best(std::string_view word, std::vector<Node>& nodes) const {
  TANDEM_CHECK(word.size() < std::numeric_limits<std::uint32_t>::max(), "a piece of {} bytes",
               word.size());
  nodes.assign(word.size() + 1, {});
  std::size_t last = 0;  // the furthest that was reached
  for (std::size_t at = 0; at < word.size();) {
    if (as_sentencepiece_ && std::abs(nodes[at].score) > kLargestSum)
      start_from_zero(std::span(nodes).subspan(at, last + 1 - at));
    const double score = nodes[at].score;
    const auto begin = static_cast<std::uint32_t>(at);
    const std::size_t character = decode_utf8(word, at).length;
    bool has_character = false;
    trie_.visit_prefixes(word.substr(at), [&](std::size_t length, TokenId id) {
      reach(nodes[at + length], begin, id, scores_[static_cast<std::size_t>(id)] + score);
      has_character |= length == character;
      last = std::max(last, at + length);
    });
    if (!has_character) {
      reach(nodes[at + character], begin, unknown_, unknown_score_ + score);
      last = std::max(last, at + character);
    }
    at += character;
  }
}

void UnigramModel::encode_word(std::string_view word, Scratch& scratch,
                               std::vector<TokenId>& ids) const {
  auto& lattice = static_cast<Lattice&>(scratch);
  auto& nodes = lattice.nodes;
  auto& path = lattice.path;
  find_best(word, nodes);
  path.clear();
  for (std::size_t end = word.size(); end > 0; end = nodes[end].begin) path.push_back(&nodes[end]);
  std::reverse(path.begin(), path.end());
  for (std::size_t i = 0; i < path.size();) {
    if (path[i]->id != unknown_) {
      ids.push_back(path[i++]->id);
      continue;
    }
    const std::size_t begin = path[i]->begin;
    while (i < path.size() && path[i]->id == unknown_) ++i;
    const std::size_t end = i < path.size() ? path[i]->begin : word.size();
    append_unknown(word.substr(begin, end - begin), ids);
  }
}

void UnigramModel::append_unknown(std::string_view text, std::vector<TokenId>& ids) const {
  if (const auto match = trie_.longest_prefix(text);
      match.length == text.size() && !as_sentencepiece_)
    return ids.push_back(match.id);
  const auto id = [&](char byte) { return fallback_[static_cast<unsigned char>(byte)]; };
  if (std::all_of(text.begin(), text.end(), [&](char b) { return id(b) != kNoToken; })) {
    for (const char byte : text) ids.push_back(id(byte));
    return;
  }
  if (unknown_ == kNoToken)
    runtime::throw_error(
        "the tokenizer has no token for '{}' and no unknown token; take it out of the text", text);
  ids.push_back(unknown_);
}

}  // namespace tandem::data
