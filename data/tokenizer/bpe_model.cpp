#include "data/tokenizer/bpe_model.h"

#include <algorithm>
#include <queue>

#include "data/tokenizer/word_cache.h"
#include "runtime/base/error.h"

namespace tandem::data {
namespace {

// Up to this many symbols, looking for the lowest rank again after every merge beats keeping a heap.
constexpr std::size_t kShortPiece = 64;

// A possible merge of the symbol at `position` with the next one, ordered by rank, then position.
constexpr std::uint64_t make_candidate(std::uint32_t rank, std::size_t position) {
  return (static_cast<std::uint64_t>(rank) << 32) | position;
}

}  // namespace

struct BpeModel::Scratch : TokenModel::Workspace {
  WordCache cache;
  std::vector<TokenId> symbols;
  std::vector<Merge> merges;  // merges[i]: of symbols i and i + 1
  std::vector<std::uint32_t> previous, next;
  std::vector<std::uint64_t> candidates;
};

std::unique_ptr<TokenModel::Workspace> BpeModel::make_workspace() const {
  return std::make_unique<Scratch>();
}

void BpeModel::encode(std::string_view text, std::size_t begin, std::span<const std::size_t> ends,
                      Workspace& workspace, std::vector<TokenId>& ids) const {
  auto& scratch = static_cast<Scratch&>(workspace);
  for (const std::size_t end : ends) {
    encode_piece(text.substr(begin, end - begin), text.size() - begin, scratch, ids);
    begin = end;
  }
}

void BpeModel::encode_piece(std::string_view piece, std::size_t readable, Scratch& scratch,
                            std::vector<TokenId>& ids) const {
  if (piece.empty()) return;
  if (piece.size() > WordCache::kMaxLength) return merge_piece(piece, scratch, ids);
  const WordCache::Key key = WordCache::make_key(piece, readable);
  WordCache::Slot& slot = scratch.cache.slot(key);
  if (slot.holds(key)) {
    ids.insert(ids.end(), slot.ids.begin(), slot.ids.begin() + slot.count);
    return;
  }
  const std::size_t before = ids.size();
  merge_piece(piece, scratch, ids);
  if (ids.size() - before <= WordCache::kMaxIds) slot.store(key, std::span(ids).subspan(before));
}

void BpeModel::merge_piece(std::string_view piece, Scratch& scratch,
                           std::vector<TokenId>& ids) const {
  if (options_.find_whole) {
    if (const auto whole = options_.find_whole(piece)) return ids.push_back(*whole);
  }
  auto& symbols = scratch.symbols;
  symbols.clear();
  for (const char byte : piece) {
    const TokenId id = options_.byte_ids[static_cast<unsigned char>(byte)];
    if (id != kNoToken) symbols.push_back(id);
  }
  if (symbols.size() > kShortPiece)
    merge_long(scratch);
  else if (symbols.size() > 1)
    merge_short(scratch);
  ids.insert(ids.end(), symbols.begin(), symbols.end());
}

void BpeModel::merge_short(Scratch& scratch) const {
  auto& symbols = scratch.symbols;
  auto& merges = scratch.merges;
  merges.resize(symbols.size() - 1);
  for (std::size_t i = 0; i + 1 < symbols.size(); ++i)
    merges[i] = options_.merges.find(symbols[i], symbols[i + 1]);
  while (!merges.empty()) {
    const auto lowest = std::min_element(
        merges.begin(), merges.end(), [](const Merge& a, const Merge& b) { return a.rank < b.rank; });
    if (lowest->rank == Merge::kNone) break;
    const auto at = static_cast<std::size_t>(lowest - merges.begin());
    symbols[at] = lowest->merged;
    symbols.erase(symbols.begin() + static_cast<std::ptrdiff_t>(at) + 1);
    merges.erase(lowest);
    if (at > 0) merges[at - 1] = options_.merges.find(symbols[at - 1], symbols[at]);
    if (at < merges.size()) merges[at] = options_.merges.find(symbols[at], symbols[at + 1]);
  }
}

// Symbols become a linked list and a heap holds the candidates; a candidate is stale when its place was merged since,
// which shows in the rank of the pair that now stands there.
void BpeModel::merge_long(Scratch& scratch) const {
  auto& [cache, symbols, merges, previous, next, heap] = scratch;
  constexpr std::uint32_t kEnd = std::numeric_limits<std::uint32_t>::max();
  TANDEM_CHECK(symbols.size() < kEnd, "a piece of {} bytes", symbols.size());
  const auto count = static_cast<std::uint32_t>(symbols.size());
  previous.resize(count);
  next.resize(count);
  for (std::uint32_t i = 0; i < count; ++i) {
    previous[i] = i == 0 ? kEnd : i - 1;
    next[i] = i + 1 == count ? kEnd : i + 1;
  }
  const auto merge_at = [&](std::uint32_t at) {
    if (symbols[at] == kNoToken || next[at] == kEnd) return Merge{};
    return options_.merges.find(symbols[at], symbols[next[at]]);
  };
  heap.clear();
  const auto push = [&](std::uint32_t at) {
    const Merge merge = merge_at(at);
    if (merge.rank == Merge::kNone) return;
    heap.push_back(make_candidate(merge.rank, at));
    std::push_heap(heap.begin(), heap.end(), std::greater<>());
  };
  for (std::uint32_t i = 0; i < count; ++i) push(i);
  while (!heap.empty()) {
    std::pop_heap(heap.begin(), heap.end(), std::greater<>());
    const auto at = static_cast<std::uint32_t>(heap.back());
    const auto rank = static_cast<std::uint32_t>(heap.back() >> 32);
    heap.pop_back();
    const Merge merge = merge_at(at);
    if (merge.rank != rank) continue;
    const std::uint32_t absorbed = next[at];
    symbols[at] = merge.merged;
    symbols[absorbed] = kNoToken;
    next[at] = next[absorbed];
    if (next[at] != kEnd) previous[next[at]] = at;
    if (previous[at] != kEnd) push(previous[at]);
    push(at);
  }
  std::erase(symbols, kNoToken);
}

}  // namespace tandem::data
