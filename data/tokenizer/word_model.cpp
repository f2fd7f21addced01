#include "data/tokenizer/word_model.h"

namespace tandem::data {

void WordModel::encode(std::string_view text, std::size_t begin, std::span<const std::size_t> ends,
                       Workspace& workspace, std::vector<TokenId>& ids) const {
  auto& scratch = static_cast<Scratch&>(workspace);
  for (const std::size_t end : ends) {
    encode_piece(text.substr(begin, end - begin), text.size() - begin, scratch, ids);
    begin = end;
  }
}

void WordModel::encode_piece(std::string_view piece, std::size_t readable, Scratch& scratch,
                             std::vector<TokenId>& ids) const {
  if (piece.empty()) return;
  if (piece.size() > WordCache::kMaxLength) return encode_word(piece, scratch, ids);
  const WordCache::Key key = WordCache::make_key(piece, readable);
  WordCache::Slot& slot = scratch.cache.slot(key);
  if (slot.holds(key)) {
    ids.insert(ids.end(), slot.ids.begin(), slot.ids.begin() + slot.count);
    return;
  }
  const std::size_t before = ids.size();
  encode_word(piece, scratch, ids);
  if (ids.size() - before <= WordCache::kMaxIds) slot.store(key, std::span(ids).subspan(before));
}

}  // namespace tandem::data
