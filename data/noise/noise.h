// Texts made into exercises: a part is hidden, and the model finds out which. Masked language
// modelling (masking.h), span corruption (span_corruption.h) and text infilling (infilling.h) are
// implementations; NoisyDataset applies one to pretraining samples.
//
// What is hidden is drawn anew in every epoch, and is a pure function of (seed, epoch, sample):
// equal under every layout and after every interruption.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "data/batch.h"
#include "data/tokenizer/tokenizer.h"
#include "runtime/base/fields.h"
#include "runtime/base/random.h"

namespace tandem::data {

// What a recipe says about it. Each kind of noise reads what concerns it.
struct NoiseConfig {
  double density = 0.0;  // 0: what the kind of noise was published with
  double mean_span_length = 3.0;
  bool whole_words = false;
  bool permute_sentences = true;
  std::string mask_token = {};  // "": the first that the tokenizer has of [MASK], <mask>, <|mask|>

  void visit_fields(runtime::FieldVisitor& v);
};

// Random numbers in the order of their use.
class Draws {
 public:
  explicit Draws(const runtime::Philox& source) : source_(source) {}
  float uniform() { return source_.uniform(next_++); }
  std::int64_t below(std::int64_t bound) {
    return static_cast<std::int64_t>(source_.below(static_cast<std::uint64_t>(bound), next_++));
  }
  // With this mean (Knuth's product of uniforms: for small means).
  std::int64_t poisson(double mean);

 private:
  runtime::Philox source_;
  std::uint64_t next_ = 0;
};

// `count` of the numbers 0, …, bound − 1, each set as likely as any other, in ascending order.
// count ≤ bound.
std::vector<std::int64_t> choose(std::int64_t count, std::int64_t bound, Draws& draws);

class Noise {
 public:
  virtual ~Noise() = default;
  // Appends the exercise made from `tokens` (at least one) as one sequence.
  virtual void append(std::span<const TokenId> tokens, Draws& draws, std::int64_t record,
                      BatchBuilder& batch) const = 0;
};

// What noise needs to know of a vocabulary.
struct NoiseVocabulary {
  std::int64_t size = 0;
  TokenId mask = kNoToken;
  TokenId eos = kNoToken;
  std::vector<TokenId> sentinels;    // <extra_id_0>, <extra_id_1>, …
  std::vector<bool> special;         // [size]: never hidden
  std::vector<bool> continues_word;  // [size]: not the beginning of a word
  std::vector<bool> ends_sentence;   // [size]
};
NoiseVocabulary noise_vocabulary(const Tokenizer& tokenizer, const NoiseConfig& config);
// Throws Error when there is no mask token, which `objective` needs.
void require_mask(const NoiseVocabulary& vocabulary, std::string_view objective);

}  // namespace tandem::data
