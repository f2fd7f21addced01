// The loss of tokens (objectives.h) on cards that would wait for the host, as they do with small
// models and micro-batches: forward and backward of a micro-batch are recorded once and from then
// on submitted as a whole (runtime/kernels/replay.h).
//
// What is recorded stands for all micro-batches of about that size. Tokens, borders of texts, rows
// with a target and weights lie where they lay; sizes are filled up, with tokens that are texts of
// their own and with rows of weight 0, which change neither the loss nor a gradient. There is one
// recording for every size and for gradients that begin and that go on.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <utility>
#include <vector>

#include "data/batch.h"
#include "models/model.h"
#include "runtime/kernels/replay.h"

namespace tandem::train {

class RecordedLoss {
 public:
  // Not wanted: it is token_loss.
  explicit RecordedLoss(bool wanted) : wanted_(wanted) {}

  // token_loss with a backward; it is called where nothing is spared by a recording (a device that
  // does not replay, more sizes than kMostRecordings) or the step cannot be recorded: the log says
  // once why. The model must be the same at every call.
  double operator()(models::Model& model, const data::Batch& batch, double global_weight);

  static constexpr std::size_t kMostRecordings = 64;

  // What micro-batches of one recording have in common.
  struct Size {
    std::int64_t tokens, texts, longest, rows;
    auto operator<=>(const Size&) const = default;
  };

 private:
  // Where a recording finds them: int32 [tokens | positions | borders | rows | targets], fp32
  // [rows], fp32 [1].
  struct Inputs {
    runtime::Tensor integers, weights, loss;
  };
  // Of every parameter, what an op's backward reads and changes.
  struct LeafState {
    bool has_grad;
    int pending_uses;
    const void* value;
    const void* grad;
    auto operator<=>(const LeafState&) const = default;
  };
  using LeafStates = std::vector<LeafState>;
  struct Recording {
    std::unique_ptr<runtime::Replay> replay;
    LeafStates after;
  };

  static Size size_of(const data::Batch& batch, std::int64_t rows);
  static LeafStates states_of(models::Model& model);
  static void restore(models::Model& model, const LeafStates& states);
  Inputs& inputs_of(const Size& size, runtime::Device device);
  double replayed(models::Model& model, const data::Batch& batch, const Size& size,
                  const std::vector<std::int32_t>& rows, double global_weight);

  bool wanted_, said_ = false;
  std::map<Size, Inputs> inputs_;
  std::map<std::pair<Size, LeafStates>, Recording> recordings_;
};

}  // namespace tandem::train
