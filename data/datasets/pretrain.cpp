#include "data/datasets/pretrain.h"

namespace tandem::data {
namespace {

PackPlan plan_part(const TokenFile& tokens, const std::vector<bool>& held_out, bool take_held_out,
                   std::int64_t sequence_length) {
  std::vector<std::int64_t> documents;
  std::vector<std::int64_t> lengths;
  for (std::int64_t document = 0; document < tokens.document_count(); ++document) {
    if (held_out[document] != take_held_out) continue;
    documents.push_back(document);
    lengths.push_back(tokens.document_length(document));
  }
  return plan_packs(documents, lengths, sequence_length);
}

}  // namespace

void PretrainDataset::append(const SampleId& sample, BatchBuilder& batch) const {
  std::vector<TokenId> tokens;
  for (const Segment& segment : plan_.pack(sample.index)) {
    // One token more than the segment where the document goes on: the last target.
    const std::int64_t left = tokens_->document_length(segment.document) - segment.begin;
    const bool goes_on = left > segment.length;
    tokens.clear();
    tokens_->read(segment.document, segment.begin, segment.length + goes_on, tokens);
    batch.add_completion(std::span(tokens).first(segment.length), 0, segment.document,
                         goes_on ? tokens.back() : kNoToken);
  }
}

Split<PretrainDataset> make_pretrain_datasets(std::shared_ptr<const TokenFile> tokens,
                                              std::int64_t sequence_length,
                                              double validation_fraction) {
  const auto held_out = choose_validation(tokens->document_count(), validation_fraction);
  return {PretrainDataset(tokens, plan_part(*tokens, held_out, false, sequence_length)),
          PretrainDataset(tokens, plan_part(*tokens, held_out, true, sequence_length))};
}

}  // namespace tandem::data
