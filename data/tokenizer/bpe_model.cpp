#include "data/tokenizer/bpe_model.h"

#include <algorithm>
#include <functional>
#include <limits>

#include "runtime/base/error.h"

namespace tandem::data {
namespace {

// Up to this many symbols, looking for the lowest rank again after every merge beats keeping a
// heap.
constexpr std::size_t kShortPiece = 64;

// Merging in O(n log n): symbols become a linked list, and a heap holds the possible merges by
// rank, then place. An entry is stale when its place was merged since, which shows in the rank of
// the pair that now stands there.
class LongMerge {
 public:
  struct Link {
    std::uint32_t previous;
    std::uint32_t next;
  };

  LongMerge(const MergeTable& merges, std::vector<TokenId>& symbols, std::vector<Link>& links,
            std::vector<std::uint64_t>& heap)
      : merges_(merges), symbols_(symbols), links_(links), heap_(heap) {}

  void run() {
    link_all();
    heap_.clear();
    for (std::uint32_t at = 0; at < symbols_.size(); ++at) push(at);
    while (!heap_.empty()) {
      const std::uint64_t top = pop();
      const auto at = static_cast<std::uint32_t>(top);
      const Merge merge = merge_at(at);
      if (merge.rank != top >> 32) continue;
      absorb_next(at, merge.merged);
      if (links_[at].previous != kEnd) push(links_[at].previous);
      push(at);
    }
    std::erase(symbols_, kNoToken);
  }

 private:
  static constexpr std::uint32_t kEnd = std::numeric_limits<std::uint32_t>::max();

  void link_all() {
    TANDEM_CHECK(symbols_.size() < kEnd, "a piece of {} bytes", symbols_.size());
    const auto count = static_cast<std::uint32_t>(symbols_.size());
    links_.resize(count);
    for (std::uint32_t i = 0; i < count; ++i)
      links_[i] = {i == 0 ? kEnd : i - 1, i + 1 == count ? kEnd : i + 1};
  }

  // Of the symbol at `at` with its successor; none when it was absorbed or is the last.
  Merge merge_at(std::uint32_t at) const {
    if (symbols_[at] == kNoToken || links_[at].next == kEnd) return {};
    return merges_.find(symbols_[at], symbols_[links_[at].next]);
  }

  void absorb_next(std::uint32_t at, TokenId merged) {
    const std::uint32_t absorbed = links_[at].next;
    symbols_[at] = merged;
    symbols_[absorbed] = kNoToken;
    links_[at].next = links_[absorbed].next;
    if (links_[at].next != kEnd) links_[links_[at].next].previous = at;
  }

  void push(std::uint32_t at) {
    const Merge merge = merge_at(at);
    if (merge.rank == Merge::kNone) return;
    heap_.push_back((static_cast<std::uint64_t>(merge.rank) << 32) | at);
    std::push_heap(heap_.begin(), heap_.end(), std::greater<>());
  }

  std::uint64_t pop() {
    std::pop_heap(heap_.begin(), heap_.end(), std::greater<>());
    const std::uint64_t top = heap_.back();
    heap_.pop_back();
    return top;
  }

  const MergeTable& merges_;
  std::vector<TokenId>& symbols_;
  std::vector<Link>& links_;
  std::vector<std::uint64_t>& heap_;
};

}  // namespace

struct BpeModel::MergeScratch : WordModel::Scratch {
  std::vector<TokenId> symbols;
  std::vector<Merge> merges;  // merges[i]: of symbols i and i + 1
  std::vector<LongMerge::Link> links;
  std::vector<std::uint64_t> candidates;
};

std::unique_ptr<TokenModel::Workspace> BpeModel::make_workspace() const {
  return std::make_unique<MergeScratch>();
}

void BpeModel::encode_word(std::string_view word, Scratch& base, std::vector<TokenId>& ids) const {
  if (options_.find_whole) {
    if (const auto whole = options_.find_whole(word)) return ids.push_back(*whole);
  }
  auto& scratch = static_cast<MergeScratch&>(base);
  auto& symbols = scratch.symbols;
  symbols.clear();
  options_.symbols->append(word, symbols);
  if (symbols.size() > kShortPiece)
    merge_long(scratch);
  else if (symbols.size() > 1)
    merge_short(scratch);
  ids.insert(ids.end(), symbols.begin(), symbols.end());
}

void BpeModel::merge_short(MergeScratch& scratch) const {
  auto& symbols = scratch.symbols;
  auto& merges = scratch.merges;
  merges.resize(symbols.size() - 1);
  for (std::size_t i = 0; i + 1 < symbols.size(); ++i)
    merges[i] = options_.merges.find(symbols[i], symbols[i + 1]);
  while (!merges.empty()) {
    const auto lowest =
        std::min_element(merges.begin(), merges.end(),
                         [](const Merge& a, const Merge& b) { return a.rank < b.rank; });
    if (lowest->rank == Merge::kNone) break;
    const auto at = static_cast<std::size_t>(lowest - merges.begin());
    symbols[at] = lowest->merged;
    symbols.erase(symbols.begin() + static_cast<std::ptrdiff_t>(at) + 1);
    merges.erase(lowest);
    if (at > 0) merges[at - 1] = options_.merges.find(symbols[at - 1], symbols[at]);
    if (at < merges.size()) merges[at] = options_.merges.find(symbols[at], symbols[at + 1]);
  }
}

void BpeModel::merge_long(MergeScratch& scratch) const {
  LongMerge(options_.merges, scratch.symbols, scratch.links, scratch.candidates).run();
}

}  // namespace tandem::data
