// What ops keep of their forward for their backward.
//
// An op keeps a tensor as a Saved. How it is kept is the tape's matter (KeepingScope): as it is;
// not at all, where the op that made it said how to make it again from what is kept anyway
// (selective recomputation, Korthikanti et al. 2022); or in the host's memory, while the card's
// serves something else (offload). Backward sees the same bits in all cases.
#pragma once

#include <functional>
#include <memory>

#include "runtime/tensor/tensor.h"

namespace tandem::runtime {

// How a tape keeps what ops save.
struct Keeping {
  bool remake = false;   // outputs of cheap ops are made again
  bool offload = false;  // what lies on a card goes to the host until backward needs it
};

// For what the current tape records in this scope; without a tape nothing is kept.
class KeepingScope {
 public:
  explicit KeepingScope(Keeping keeping);
  ~KeepingScope();
  KeepingScope(const KeepingScope&) = delete;
  KeepingScope& operator=(const KeepingScope&) = delete;

 private:
  class Tape* tape_;
  Keeping previous_;
};

using Remake = std::function<Tensor()>;

// A tensor that is not kept as it is; several Saved may share it.
class KeptElsewhere {
 public:
  explicit KeptElsewhere(Remake remake) : remake_(std::move(remake)) {}
  // Copies it to the host.
  static KeptElsewhere on_host(const Tensor& tensor);

  Tensor get() const { return remake_(); }

 private:
  Remake remake_;
};

class Saved {
 public:
  Saved() = default;
  // Made while a tape is current. An undefined tensor is an undefined Saved.
  explicit Saved(const Tensor& tensor);

  bool defined() const { return tensor_.defined() || elsewhere_ != nullptr; }
  // In backward; untracked. Undefined where nothing was saved.
  Tensor get() const;

 private:
  Tensor tensor_;
  std::shared_ptr<const KeptElsewhere> elsewhere_;
  Shape shape_;
};

// For an op that keeps its own output, before it is recorded: who saves it too shares it.
Saved save_output(Tensor& output);

// Whether saving the tensor on the current tape takes no memory beside it: it will be made again,
// or lies on the host.
bool is_kept_elsewhere(const Tensor& tensor);

// Called after an op was recorded: its output need not be kept, since `remake` makes it again, from
// what the op itself keeps and at little cost.
void can_be_remade(const Tensor& output, Remake remake);

}  // namespace tandem::runtime
