#include "data/tokenizer/tokenizer_trainer.h"

#include "data/tokenizer/bpe_trainer.h"
#include "data/tokenizer/hf_tokenizer.h"
#include "data/tokenizer/unigram_trainer.h"
#include "data/tokenizer/wordpiece_trainer.h"
#include "data/utf8.h"
#include "runtime/base/error.h"

namespace tandem::data {

namespace {

// Stands in a tokenizer where the model is to come, and counts what it would encode.
class CountingModel : public TokenModel {
 public:
  explicit CountingModel(WordCounter& words) : words_(words) {}

  std::unique_ptr<Workspace> make_workspace() const override {
    return std::make_unique<Workspace>();
  }
  void encode(std::string_view text, std::size_t begin, std::span<const std::size_t> ends,
              Workspace&, std::vector<TokenId>&) const override {
    for (const std::size_t end : ends) {
      if (end > begin) words_.add(text.substr(begin, end - begin));
      begin = end;
    }
  }

 private:
  WordCounter& words_;
};

Tokenizer make_cutter(TokenizerFiles files, WordCounter& words) {
  auto parts = parse_hf_tokenizer(std::move(files), "the untrained tokenizer");
  parts->model = std::make_unique<CountingModel>(words);
  return Tokenizer(std::move(parts));
}

const TokenizerConfig& validated(const TokenizerConfig& config) {
  validate(config);
  return config;
}

}  // namespace

TokenizerTrainer::TokenizerTrainer(TokenizerConfig config,
                                   TokenizerFiles (*untrained)(const TokenizerConfig&))
    : config_(std::move(config)), cutter_(make_cutter(untrained(validated(config_)), *words_)) {}

void TokenizerTrainer::add_document(std::string_view text) {
  TANDEM_CHECK(find_invalid_utf8(text) == std::string_view::npos, "a document that is not UTF-8");
  cutter_.encode(text, {.parse_special_tokens = false});
}

Tokenizer TokenizerTrainer::train(const Progress& progress) const {
  if (words_->size() == 0)
    runtime::throw_error("no text to train a tokenizer on; check the path of the tokenizer's data");
  return Tokenizer(learn(*words_, progress));
}

std::unique_ptr<TokenizerTrainer> make_tokenizer_trainer(const TokenizerConfig& config) {
  switch (config.model) {
    case TokenizerModel::kBpe:
      return std::make_unique<BpeTrainer>(config);
    case TokenizerModel::kWordPiece:
      return std::make_unique<WordPieceTrainer>(config);
    case TokenizerModel::kUnigram:
      break;
  }
  return std::make_unique<UnigramTrainer>(config);
}

}  // namespace tandem::data
