// What the rest of Tandem knows of a language model, whatever its family. A model is forward code
// over fused ops and tensor-parallel layers; it does not know its device, precision, data
// parallelism or how it is trained.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "parallel/layers/parameter_store.h"
#include "parallel/ops/vocab_log_prob.h"
#include "runtime/kernels/backend.h"

namespace tandem::models {

// What a model puts on top of its last hidden state.
enum class Head {
  kLanguageModel,  // scores over the vocabulary
  kScalar,  // one number per token: a value or a reward (Hugging Face's *ForSequenceClassification,
            // one label)
};

// Token-packed input: sequences one after the other, no padding.
struct ModelInput {
  runtime::Tensor tokens;                // int32 [n]
  runtime::Tensor positions;             // int32 [n], restarting at 0 in every sequence
  std::vector<std::int32_t> cu_seqlens;  // batch + 1 borders
};

// Keys and values of sequences being generated, for this rank's heads.
class KvCache {
 public:
  KvCache(std::int64_t layers, std::int64_t slots, std::int64_t capacity, std::int64_t kv_heads,
          std::int64_t head_dim, runtime::DType dtype, runtime::Device device);
  runtime::KvCacheView& layer(std::int64_t index) {
    return layers_[static_cast<std::size_t>(index)];
  }
  std::int64_t slots() const { return slots_; }
  std::int64_t capacity() const { return capacity_; }

 private:
  std::vector<runtime::KvCacheView> layers_;
  std::int64_t slots_;
  std::int64_t capacity_;
};

// Which rows of the cache a forward pass writes and reads.
struct CacheUse {
  KvCache* cache = nullptr;
  std::vector<std::int32_t> slots;      // of every token
  std::vector<std::int32_t> positions;  // of every token
  bool decode = false;  // one new token per sequence that attends to the cache; else prompts, which
                        // attend to themselves
};

class Model {
 public:
  virtual ~Model() = default;

  // Hidden states after the final norm, [n, hidden]. Recorded on the current tape. With `cache`,
  // keys and values are stored too, and nothing may be recording.
  virtual runtime::Tensor forward(const ModelInput& input, const CacheUse* cache = nullptr) = 0;
  virtual KvCache make_cache(std::int64_t slots, std::int64_t capacity) const = 0;

  // The output matrix over the vocabulary; only with Head::kLanguageModel.
  virtual parallel::VocabShard vocab() = 0;
  // [1, hidden], only with Head::kScalar.
  virtual runtime::Leaf& scalar_head() = 0;

  virtual parallel::ParameterStore& parameters() = 0;
  virtual std::int64_t vocab_size() const = 0;
  virtual std::int64_t max_positions() const = 0;
  // Floating-point operations of one token's forward and backward at this sequence length (6·N plus
  // attention).
  virtual double training_flops_per_token(std::int64_t sequence_length) const = 0;
  // config.json as Hugging Face writes it.
  virtual std::string config_json() const = 0;
};

// A scalar head's initial standard deviation of 1/√(hidden_size + 1) (Stiennon et al. 2020).
inline constexpr float kRewardHeadStd = -1;

// How a model is built on this rank.
struct BuildOptions {
  Head head = Head::kLanguageModel;
  runtime::PrecisionPolicy precision;
  parallel::Group tp;
  runtime::Device device;
  bool trainable = true;
  // What replicas divide among them, and their group.
  parallel::ZeroStage zero = parallel::ZeroStage::kNone;
  parallel::Group dp;
  bool recompute = false;  // full activation recomputation per block
  // Initial standard deviation of the scalar head; 0 starts at zero, kRewardHeadStd as TRL's reward
  // models do.
  float scalar_head_std = 0;

  parallel::StoreOptions store_options() const;
};

}  // namespace tandem::models
