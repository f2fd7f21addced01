// One rank's place in a pipeline of stages: what it receives from the part of the model before its
// own, hands on to the part behind, and keeps until gradients come back.
//
// A model calls run() in its forward and knows no more of it; the caller of the model goes through
// actions(), one micro-batch after the other:
//
//   for (const PipelineAction& action : pipeline.actions(micro_batches)) {
//     pipeline.select(action.chunk);
//     forward:  the model's forward. Only in the model's last part it returns something, and only
//               there it is recorded on the caller's tape.
//     backward: pipeline.backward(); in the last part the caller's own backward, which sends the
//               gradients on by itself.
//   }
//   pipeline.finish();
#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <vector>

#include "parallel/comm/communicator.h"
#include "parallel/pipeline/schedule.h"
#include "runtime/autograd/tape.h"

namespace tandem::parallel {

class Pipeline {
 public:
  using Tensors = std::vector<runtime::Tensor>;

  // activations: the pipeline's ranks in order. gradients: the same ranks, for what flows back;
  // with several chunks a pair of ranks has both kinds of messages in one direction, whose order
  // differs between sender and receiver.
  Pipeline(Group activations, Group gradients, ScheduleKind kind, int chunks);

  const PipelineShape& shape() const { return shape_; }
  int stage() const { return activations_.rank(); }
  std::vector<PipelineAction> actions(std::int64_t micro_batches) const {
    return pipeline_schedule(shape_, stage(), micro_batches);
  }

  // From now on run() and backward() are about this chunk.
  void select(int chunk) { chunk_ = chunk; }
  int chunk() const { return chunk_; }
  int part() const { return chunk_ * shape_.stages + stage(); }
  bool in_last_part() const { return part() == shape_.parts() - 1; }
  bool has_last_part() const { return stage() == shape_.stages - 1; }

  // What the part before hands on: sizes, and the type of all.
  struct Incoming {
    std::vector<runtime::Shape> shapes;  // none for the first part
    runtime::DType dtype = runtime::DType::kF32;
    runtime::Device device;
  };
  // Receives, computes, and sends the results (at most two) to the next part; returns them only in
  // the last part. While a tape is recording, other parts keep a tape of their own for backward().
  Tensors run(const Incoming& incoming, const std::function<Tensors(const Tensors&)>& compute);
  // Of the oldest micro-batch that the chunk keeps: receives its gradients, differentiates, sends
  // those of what it received. Not for the last part.
  void backward();
  // Waits for what is still on its way.
  void finish();

  // What the last part knows, to all stages.
  void share_from_last(runtime::Tensor& tensor, std::string_view name) const;

 private:
  struct Kept {
    runtime::Tape tape;
    Tensors outputs;
  };

  Tensors receive(const Group& group, int peer, const Incoming& incoming, std::string_view name);
  void send(const Group& group, int peer, const Tensors& tensors, std::string_view name);
  // Lets backward reach what was received, and from there the part before.
  void track(Tensors& received);
  int next() const { return (stage() + 1) % shape_.stages; }
  int previous() const { return (stage() + shape_.stages - 1) % shape_.stages; }

  Group activations_, gradients_;
  PipelineShape shape_;
  int chunk_ = 0;
  std::vector<std::deque<std::unique_ptr<Kept>>> kept_;  // by chunk, oldest first
  std::deque<Work> sending_;
};

}  // namespace tandem::parallel
