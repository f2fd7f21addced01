// Reverse-mode differentiation over coarse fused ops.
//
// A Tape is made current for a scope; ops record themselves on it while they run forward, each with
// a closure that turns output gradients into input gradients. `backward` walks the records in
// reverse, frees what each saved, and adds parameter gradients straight into their fp32 buffers. A
// Leaf tells its owner when its last use has been differentiated, so that gradient reduction
// overlaps with the rest of backward.
#pragma once

#include <cstdint>
#include <functional>
#include <initializer_list>
#include <optional>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "runtime/autograd/saved.h"
#include "runtime/quant/quantized_matrix.h"
#include "runtime/tensor/tensor.h"

namespace tandem::runtime {

struct Fp8Product;

// A trainable tensor as ops see it: what to compute with and where its gradient accumulates.
struct Leaf {
  Tensor value;  // in compute precision; undefined where the weight is quantized
  const QuantizedMatrix* quantized = nullptr;  // of a frozen weight in 8 or 4 bits; only products
                                               // (ops/linear.h) take those
  Fp8Product* fp8 = nullptr;  // of a matrix whose products are of 8-bit floats (fp8_product.h)
  Tensor grad;  // fp32, same elements; allocated by the owner before backward, or when asked
  bool requires_grad = true;  // false: frozen, nothing is saved or computed for it
  bool has_grad = false;      // false: the next contribution overwrites grad instead of adding
  int pending_uses = 0;       // recorded uses not yet differentiated
  std::function<void()> on_grad_missing;  // gives grad a place, before the first contribution
  std::function<void()> on_grad_ready;  // called when pending_uses falls back to 0 during backward
};

// A gradient of a product's first factor that has not been computed: dy [n, out] · weight [out,
// in], of one type.
struct GradProduct {
  Tensor dy, weight;
  Tensor value() const;
};

// Runs on one op's record during backward.
class BackwardContext {
 public:
  // Gradient of output `index`; undefined when nothing depends on it.
  const Tensor& grad_output(std::size_t index) const { return grad_outputs_[index]; }
  bool needs_grad(std::size_t input) const { return input_ids_[input] != 0; }
  // Adds `grad` to the gradient of input `index`; ignored for inputs that are not tracked.
  void add_grad_input(std::size_t index, Tensor grad);
  // The same of a product, which is computed now unless who made the input takes_product().
  void add_grad_input(std::size_t index, GradProduct grad);
  // For an op that takes_product(): the gradient of its output where that is a product still, and
  // grad_output(0) undefined; else null.
  const GradProduct* grad_product() const { return product_ ? &*product_ : nullptr; }

 private:
  friend class Tape;
  BackwardContext(class Tape& tape, std::vector<Tensor> grad_outputs,
                  std::optional<GradProduct> product, const std::vector<std::uint64_t>& input_ids)
      : tape_(tape),
        grad_outputs_(std::move(grad_outputs)),
        product_(std::move(product)),
        input_ids_(input_ids) {}
  class Tape& tape_;
  std::vector<Tensor> grad_outputs_;
  std::optional<GradProduct> product_;
  const std::vector<std::uint64_t>& input_ids_;
};

using BackwardFn = std::function<void(BackwardContext&)>;

class Tape {
 public:
  Tape() = default;
  Tape(const Tape&) = delete;
  Tape& operator=(const Tape&) = delete;

  // The tape that ops record on in this thread; null outside any TapeScope: then ops save nothing.
  static Tape* current();

  // Follows a tensor that no op made (a pipeline stage's input), so that `grad` can be read after
  // backward.
  void watch(Tensor& tensor);

  // Called by ops. Gives each output a value id, unless it has one. A use of each leaf that
  // requires a gradient is counted.
  void record(std::string_view name, std::initializer_list<const Tensor*> inputs,
              std::initializer_list<Tensor*> outputs, std::initializer_list<Leaf*> leaves,
              BackwardFn backward);

  // From a scalar loss, with d(loss) = grad_scale.
  void backward(const Tensor& loss, float grad_scale = 1.0f);
  // From several outputs with given gradients (pipeline stages, recomputation).
  void backward(std::span<const Tensor> outputs, std::span<const Tensor> grads);

  // Gradient of a watched tensor after backward; undefined when none reached it.
  Tensor grad(const Tensor& tensor) const;

  std::size_t size() const { return records_.size(); }
  // True within recompute(), where a block runs twice: an op whose forward already adds to
  // gradients must not be used there.
  bool recomputes() const { return mode_ != Mode::kRecord; }

 private:
  friend class BackwardContext;
  friend class KeepingScope;
  friend class Saved;
  friend class TapeScope;
  friend void can_be_remade(const Tensor&, Remake);
  friend void takes_product(const Tensor&);
  friend bool is_kept_elsewhere(const Tensor&);
  friend Tensor recompute(const std::function<Tensor(const std::vector<Tensor>&)>&,
                          const std::vector<Tensor>&);

  struct Record {
    std::string_view name;
    std::vector<std::uint64_t> input_ids;
    std::vector<std::uint64_t> output_ids;
    std::vector<Shape> output_shapes;  // gradients may arrive in the shape of a view
    std::vector<Leaf*> leaves;
    BackwardFn backward;
    std::vector<std::shared_ptr<const KeptElsewhere>> remakes;  // of outputs
    bool takes_product = false;
  };
  // kCountUses: forward of a recomputed block: uses of leaves are counted, nothing else is kept.
  // kReplay: the second forward of that block: everything is kept, uses have been counted already.
  enum class Mode { kRecord, kCountUses, kReplay };

  void run(Record& record);
  void accumulate(std::uint64_t id, Tensor grad);
  // Waits as it is where the next record takes it and nothing was added before.
  void accumulate(std::uint64_t id, GradProduct grad);
  // How the tensor is kept already, other than as it is; null where it is not.
  std::shared_ptr<const KeptElsewhere> kept_elsewhere(const Tensor& tensor) const;
  // Null where the tensor is to be kept as it is.
  std::shared_ptr<const KeptElsewhere> keep_elsewhere(const Tensor& tensor);
  // Of an output of the last record.
  void add_remake(const Tensor& output, Remake remake);

  Mode mode_ = Mode::kRecord;
  Keeping keeping_;
  std::unordered_map<std::uint64_t, std::weak_ptr<const KeptElsewhere>> elsewhere_;  // by value id
  std::vector<Record> records_;
  std::unordered_map<std::uint64_t, Tensor> grads_;
  std::optional<GradProduct> product_;  // of the output of records_.back()
};

// Called after an op with one output was recorded: its backward can do with a gradient that is a
// product (BackwardContext::grad_product), where a linear layer alone reads the output and follows
// at once. Neither the product nor room for it is needed then.
void takes_product(const Tensor& output);

// Makes a tape current for this thread; nullptr switches recording off.
class TapeScope {
 public:
  explicit TapeScope(Tape* tape);
  ~TapeScope();
  TapeScope(const TapeScope&) = delete;
  TapeScope& operator=(const TapeScope&) = delete;

 private:
  Tape* previous_;
};

// True when an op with these inputs and leaves must save for backward.
bool recording(std::initializer_list<const Tensor*> inputs,
               std::initializer_list<const Leaf*> leaves = {});

// Runs `block` without saving its activations and runs it again during backward: memory for time
// (Chen et al. 2016). Random draws inside must come from Philox, so that both runs agree.
Tensor recompute(const std::function<Tensor(const Tensor&)>& block, const Tensor& input);
// The same for a block of up to kRecomputeInputs inputs, undefined ones among them: whatever it
// reads that has a gradient must be one of them, because the second run is on a tape of its own.
inline constexpr std::size_t kRecomputeInputs = 3;
Tensor recompute(const std::function<Tensor(const std::vector<Tensor>&)>& block,
                 const std::vector<Tensor>& inputs);

// For ops: the gradient buffer of a leaf is written through this, so that the first contribution of
// a step overwrites and later ones add. `write(grad, accumulate)`.
void accumulate_into(Leaf& leaf, const std::function<void(Tensor& grad, bool accumulate)>& write);

}  // namespace tandem::runtime
