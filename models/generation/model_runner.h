// A model that reads sequences and scores what may come next: what sampling (generate.h) and beam
// search (beam_search.h) have in common. With a cache of keys and values a sequence is read once
// and then one token at a time; without, whole every time, as training does.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "models/model.h"

namespace tandem::models {

// A text that is being written, in a slot of the cache.
struct Sequence {
  std::size_t prompt = 0;
  std::int32_t slot = 0;
  // What the decoder has: the prompt or, of an encoder-decoder, its start token; then what was
  // written, from `begin` on.
  std::vector<std::int32_t> text = {};
  std::size_t begin = 0;

  std::span<const std::int32_t> written() const { return std::span(text).subspan(begin); }
};

class ModelRunner {
 public:
  struct Options {
    std::int64_t max_new_tokens = 0;  // longest written text
    std::int64_t slots = 0;           // sequences that are read together
    bool use_cache = true;
  };

  // Throws Error for an empty prompt, where a prompt and max_new_tokens exceed the model's
  // positions, and for an encoder. Model and prompts must outlive the runner.
  ModelRunner(Model& model, std::span<const std::vector<std::int32_t>> prompts,
              const Options& options);

  // A sequence that nothing has been written of; the slot's last one is forgotten.
  Sequence start(std::size_t prompt, std::int32_t slot);

  // fp32 [sequences, vocab], undefined on a stage of a pipeline that does not hold the model's end.
  // Either none of the sequences has been read before, or each has one more token than then.
  runtime::Tensor next_logits(std::span<const Sequence> sequences);

  // Slot `to` becomes what `from` is; its encoder's text too, unless the two are of one prompt and
  // `to` has been in use for it.
  void fork(std::int32_t from, std::int32_t to, bool with_encoder_text);

  // What the last stage of a pipeline knows, to all ranks.
  template <typename T>
  void share_from_last(std::vector<T>& values, std::string_view name) const {
    const parallel::Pipeline* pipeline = model_.pipeline();
    if (pipeline == nullptr) return;
    runtime::Tensor tensor =
        runtime::Tensor::from(values, {static_cast<std::int64_t>(values.size())}, device_);
    pipeline->share_from_last(tensor, name);
    values = tensor.template to_vector<T>();
  }

  runtime::Tensor to_device(const std::vector<std::int32_t>& values) const {
    return runtime::Tensor::from(values, {static_cast<std::int64_t>(values.size())}, device_);
  }
  runtime::Device device() const { return device_; }
  std::int64_t vocab_size() const { return model_.vocab_size(); }

 private:
  std::int64_t longest_prompt() const;
  std::int64_t checked_capacity(std::int64_t max_new_tokens) const;
  runtime::Tensor read(std::span<const Sequence> sequences);
  runtime::Tensor read_on(std::span<const Sequence> sequences);
  runtime::Tensor replayed(const std::vector<std::int32_t>& tokens, CacheUse use);

  Model& model_;
  std::span<const std::vector<std::int32_t>> prompts_;
  runtime::Device device_;
  bool has_encoder_;
  std::optional<KvCache> cache_;
  std::vector<std::size_t> read_;  // tokens of each slot's text that the cache holds

  // A decoder's step is repeated: what changes from step to step lies where it lay before, int32
  // [tokens | positions | slots | lengths of every sequence], and so does what comes out.
  runtime::Tensor step_input_, step_output_;
  std::map<std::size_t, std::unique_ptr<runtime::Replay>> steps_;  // by number of sequences
};

}  // namespace tandem::models
