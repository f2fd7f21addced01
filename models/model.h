// What the rest of Tandem knows of a language model, whatever its family. A model is forward code
// over fused ops and tensor-parallel layers; it does not know its device, precision, data
// parallelism or how it is trained.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "models/adapters/lora.h"
#include "models/labels.h"
#include "parallel/layers/parameter_store.h"
#include "parallel/mesh/mesh.h"
#include "parallel/ops/vocab_log_prob.h"
#include "parallel/pipeline/pipeline.h"
#include "runtime/kernels/backend.h"

namespace tandem::models {

// What a model puts on top of its last hidden state.
enum class Head {
  kLanguageModel,  // scores over the vocabulary
  kScalar,  // one number per token: a value or a reward (Hugging Face's *ForSequenceClassification,
            // one label)
  kClassification,  // a score for each label of a whole text (*ForSequenceClassification)
  kHiddenStates,    // nothing: hidden states as they are, for embeddings (BertModel, LlamaModel)
};

// How a model reads and writes, and so what it can be trained on and used for.
enum class ModelKind {
  kDecoder,         // predicts the next token of one text
  kEncoder,         // reads a whole text at once, and writes none
  kEncoderDecoder,  // reads one text and writes another
};

// How text without labels is made into exercises.
enum class TextObjective {
  kCausal,          // each token is predicted from those before it
  kMasked,          // an encoder finds out tokens that are hidden
  kSpanCorruption,  // an encoder-decoder writes the spans that are missing
  kInfilling,       // an encoder-decoder writes a whole text, of which it reads a disordered part
};

// Token-packed sequences, one after the other, no padding.
struct TextInput {
  runtime::Tensor tokens;                // int32 [n]; undefined: none
  runtime::Tensor positions;             // int32 [n], restarting at 0 in every sequence
  std::vector<std::int32_t> cu_seqlens;  // batch + 1 borders
  runtime::Tensor token_types = {};      // int32 [n], of encoders that have them; undefined: all 0
  // Under context parallelism the borders of whole sequences, of which `cu_seqlens` are this rank's
  // chunks (runtime/base/context_division.h); else empty.
  std::vector<std::int32_t> whole_cu_seqlens = {};
  // Of every token, alike under all layouts: what masks are drawn by. Empty: none are drawn.
  std::vector<std::uint64_t> token_numbers = {};
  // Where forward and backward are replayed (runtime/kernels/replay.h), the borders on the model's
  // device, for texts that no rank divides.
  runtime::DeviceBorders borders = {};
};

struct ModelInput : TextInput {
  TextInput encoder = {};  // what an encoder-decoder reads: as many sequences as the decoder's
};

// Keys and values of sequences being generated, for this rank's heads and layers.
class KvCache {
 public:
  // `holds(layer)`: whether this rank runs the layer.
  KvCache(std::int64_t layers, const std::function<bool(std::int64_t)>& holds, std::int64_t slots,
          std::int64_t capacity, std::int64_t kv_heads, std::int64_t head_dim, runtime::DType dtype,
          runtime::Device device, std::int64_t encoder_capacity = 0);
  runtime::KvCacheView& layer(std::int64_t index) {
    return layers_[static_cast<std::size_t>(index)];
  }
  // Keys and values of the encoder's text, for the decoder's layer; none without encoder_capacity.
  runtime::KvCacheView& encoder_layer(std::int64_t index) {
    return encoder_layers_[static_cast<std::size_t>(index)];
  }
  // Length of the encoder's text in a slot.
  std::int32_t& encoder_length(std::int32_t slot) {
    return encoder_lengths_[static_cast<std::size_t>(slot)];
  }
  std::int64_t slots() const { return slots_; }
  std::int64_t capacity() const { return capacity_; }

  // Gives slot `to` the first `length` tokens of slot `from`.
  void copy_text(std::int32_t from, std::int32_t to, std::int64_t length);
  // And the encoder's text.
  void copy_encoder_text(std::int32_t from, std::int32_t to);

 private:
  std::vector<runtime::KvCacheView> layers_, encoder_layers_;
  std::vector<std::int32_t> encoder_lengths_;
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
  // Where a step is replayed (runtime/kernels/replay.h), the same on the model's device, int32, and
  // positions + 1; else undefined.
  struct OnDevice {
    runtime::Tensor slots, positions, lengths;
  };
  OnDevice on_device = {};
};

class Model {
 public:
  virtual ~Model() = default;

  virtual ModelKind kind() const = 0;
  // What the family was published with.
  virtual TextObjective text_objective() const = 0;

  // Hidden states as the output matrix or scalar head reads them, [n, hidden]: of the decoder where
  // there is one. Recorded on the current tape. With `cache`, keys and values are stored too, and
  // nothing may be recording; an encoder's text is read with the prompts and no more when decoding.
  // Undefined on a stage of a pipeline that does not hold the model's end (see pipeline()).
  virtual runtime::Tensor forward(const ModelInput& input, const CacheUse* cache = nullptr) = 0;
  // Not for encoders. `encoder_capacity` is the length of the longest text that an encoder reads.
  virtual KvCache make_cache(std::int64_t slots, std::int64_t capacity,
                             std::int64_t encoder_capacity = 0) const = 0;

  // The output matrix over the vocabulary; only with Head::kLanguageModel.
  virtual parallel::VocabShard vocab() = 0;
  // [1, hidden], only with Head::kScalar.
  virtual runtime::Leaf& scalar_head() = 0;
  // What an encoder makes of hidden states of first tokens [batch, hidden] to stand for their
  // texts; only with Head::kHiddenStates.
  virtual runtime::Tensor pooled(const runtime::Tensor& hidden);
  // Scores of the labels, fp32 [batch, labels], from hidden states [batch, hidden] of the tokens
  // that stand for their texts: an encoder's first ones, a decoder's last ones. Only with
  // Head::kClassification.
  virtual runtime::Tensor label_scores(const runtime::Tensor& hidden) = 0;
  virtual const Labels& labels() const = 0;

  // Through which this rank's blocks are one stage of the model's; null where it has all blocks.
  virtual parallel::Pipeline* pipeline() { return nullptr; }

  // The ranks that divide its texts (TextInput::whole_cu_seqlens).
  virtual const parallel::Group& cp() const = 0;

  virtual parallel::ParameterStore& parameters() = 0;
  // What is trained beside a frozen model; null where the model itself is.
  virtual Adapter* adapter() { return nullptr; }
  // The adapter's parameters where there is one, else the model's.
  parallel::ParameterStore& trained_parameters() {
    return adapter() != nullptr ? adapter()->store() : parameters();
  }
  // What losses are multiplied by before they are differentiated (runtime/optim/loss_scaler.h).
  float loss_scale() const { return loss_scale_; }
  void set_loss_scale(float scale) { loss_scale_ = scale; }
  virtual std::int64_t vocab_size() const = 0;
  virtual std::int64_t hidden_size() const = 0;
  virtual std::int64_t max_positions() const = 0;
  // Floating-point operations of one token's forward and backward at this sequence length (6·N plus
  // attention).
  virtual double training_flops_per_token(std::int64_t sequence_length) const = 0;
  // config.json as Hugging Face writes it.
  virtual std::string config_json() const = 0;
  // The token that an encoder-decoder's decoder starts with; −1 for the others.
  virtual std::int32_t decoder_start_token() const { return -1; }
  // Further names that files have a weight under, in the order of preference.
  virtual std::vector<std::string> other_names(const std::string& /*name*/) const { return {}; }
  // Whether files may lack a weight, which then keeps its initial values: those of heads on whole
  // texts.
  virtual bool may_be_missing(const std::string& name) const = 0;

 private:
  float loss_scale_ = 1.0f;
};

// A scalar head's initial standard deviation of 1/√(hidden_size + 1) (Stiennon et al. 2020).
inline constexpr float kRewardHeadStd = -1;

// What a block keeps of its forward for its backward. Nothing: the block runs again. Selective:
// what its large products and attention gave; norms and activations are made again from that.
enum class Recompute { kNone, kSelective, kFull };

struct ActivationMemory {
  Recompute recompute = Recompute::kNone;
  // What is kept goes from a card to the host's memory and comes back.
  bool offload = false;
};

// How a model is built on this rank.
struct BuildOptions {
  Head head = Head::kLanguageModel;
  runtime::PrecisionPolicy precision;
  parallel::Group tp;
  // Between products the tensor-parallel ranks divide tokens (see parallel::TensorParallel).
  bool sequence_parallel = false;
  runtime::Device device;
  bool trainable = true;
  // Divides sequences (TextInput::whole_cu_seqlens).
  parallel::Group cp;
  // An adapter that is trained instead of the model.
  LoraConfig lora = {};
  // How the matrices of a frozen model are stored.
  runtime::QuantFormat quantize = runtime::QuantFormat::kNone;
  // What replicas divide among them, and their group.
  parallel::ZeroStage zero = parallel::ZeroStage::kNone;
  parallel::Group dp;
  // The pipeline that the blocks are divided over: its ranks, and the same for gradients.
  parallel::Group pp, pp_gradients;
  parallel::ScheduleKind pipeline_schedule = parallel::ScheduleKind::k1F1B;
  int virtual_stages = 1;
  ActivationMemory activations = {};
  Labels labels;  // of Head::kClassification; none: those of the model's configuration
  // Initial standard deviation of the scalar head; 0 starts at zero, kRewardHeadStd as TRL's reward
  // models do.
  float scalar_head_std = 0;

  // Divides the model over a mesh as its layout says.
  void lay_over(const parallel::Mesh& mesh);
  // Of the model's own weights, and of an adapter's.
  parallel::StoreOptions store_options() const;
  parallel::StoreOptions adapter_store_options() const;
};

}  // namespace tandem::models
