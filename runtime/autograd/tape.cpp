#include "runtime/autograd/tape.h"

#include <atomic>
#include <utility>

#include "runtime/kernels/backend.h"

namespace tandem::runtime {
namespace {

thread_local Tape* current_tape = nullptr;

std::uint64_t next_value_id() {
  static std::atomic<std::uint64_t> counter{1};
  return counter.fetch_add(1, std::memory_order_relaxed);
}

}  // namespace

Tape* Tape::current() {
  return current_tape;
}

TapeScope::TapeScope(Tape* tape) : previous_(current_tape) {
  current_tape = tape;
}
TapeScope::~TapeScope() {
  current_tape = previous_;
}

bool recording(std::initializer_list<const Tensor*> inputs,
               std::initializer_list<const Leaf*> leaves) {
  if (current_tape == nullptr) return false;
  for (const Tensor* input : inputs)
    if (input->value_id() != 0) return true;
  for (const Leaf* leaf : leaves)
    if (leaf != nullptr && leaf->requires_grad) return true;
  return false;
}

void Tape::watch(Tensor& tensor) {
  tensor.set_value_id(next_value_id());
}

void Tape::record(std::string_view name, std::initializer_list<const Tensor*> inputs,
                  std::initializer_list<Tensor*> outputs, std::initializer_list<Leaf*> leaves,
                  BackwardFn backward) {
  Record record{.name = name,
                .input_ids = {},
                .output_ids = {},
                .output_shapes = {},
                .leaves = {},
                .backward = std::move(backward),
                .remakes = {},
                .takes_product = false};
  for (Leaf* leaf : leaves) {
    if (leaf == nullptr || !leaf->requires_grad) continue;
    if (mode_ != Mode::kReplay) ++leaf->pending_uses;
    record.leaves.push_back(leaf);
  }
  for (Tensor* output : outputs) {
    if (output->value_id() == 0) output->set_value_id(next_value_id());
    record.output_ids.push_back(output->value_id());
    record.output_shapes.push_back(output->shape());
  }
  if (mode_ == Mode::kCountUses) return;
  for (const Tensor* input : inputs) record.input_ids.push_back(input->value_id());
  records_.push_back(std::move(record));
}

void Tape::backward(const Tensor& loss, float grad_scale) {
  TANDEM_CHECK(loss.elements() == 1, "backward starts at a scalar, got {}", loss.str());
  Tensor grad = empty_like(loss);
  backend_of(loss).fill(grad, grad_scale);
  const Tensor outputs[] = {loss};
  const Tensor grads[] = {grad};
  backward(outputs, grads);
}

void Tape::backward(std::span<const Tensor> outputs, std::span<const Tensor> grads) {
  const TapeScope no_recording(nullptr);
  for (std::size_t i = 0; i < outputs.size(); ++i)
    if (outputs[i].value_id() != 0) accumulate(outputs[i].value_id(), grads[i].detach());
  while (!records_.empty()) {
    Record record = std::move(records_.back());
    records_.pop_back();
    run(record);
  }
}

void Tape::run(Record& record) {
  std::vector<Tensor> grad_outputs;
  std::optional<GradProduct> product = std::exchange(product_, std::nullopt);
  bool reached = product.has_value();
  for (std::size_t i = 0; i < record.output_ids.size(); ++i) {
    elsewhere_.erase(record.output_ids[i]);
    const auto found = grads_.find(record.output_ids[i]);
    grad_outputs.emplace_back();
    if (found == grads_.end()) continue;
    Tensor grad = std::move(found->second);
    grads_.erase(found);
    grad_outputs.back() = grad.view(record.output_shapes[i]);
    reached = true;
  }
  if (reached) {
    BackwardContext context(*this, std::move(grad_outputs), std::move(product), record.input_ids);
    record.backward(context);
  }
  record.backward = nullptr;
  for (Leaf* leaf : record.leaves) {
    TANDEM_CHECK(leaf->pending_uses > 0, "{}: a leaf was differentiated more often than used",
                 record.name);
    if (--leaf->pending_uses == 0 && leaf->on_grad_ready) leaf->on_grad_ready();
  }
}

void Tape::accumulate(std::uint64_t id, GradProduct grad) {
  const bool next_takes_it =
      !records_.empty() && records_.back().takes_product && records_.back().output_ids[0] == id &&
      records_.back().output_shapes[0] == Shape{grad.dy.dim(0), grad.weight.dim(1)};
  if (next_takes_it && !product_ && !grads_.contains(id))
    product_ = std::move(grad);
  else
    accumulate(id, grad.value());
}

void Tape::accumulate(std::uint64_t id, Tensor grad) {
  if (product_ && records_.back().output_ids[0] == id)  // it is not the only part
    grads_.emplace(id, std::exchange(product_, std::nullopt)->value());
  auto [slot, inserted] = grads_.try_emplace(id, grad);
  if (inserted) return;
  Tensor& held = slot->second;
  TANDEM_CHECK(held.elements() == grad.elements(), "gradients of {} and {} for one value",
               held.str(), grad.str());
  if (held.exclusive()) {
    backend_of(held).add(held, grad, held);
  } else {
    Tensor sum = empty_like(held);
    backend_of(held).add(held, grad, sum);
    held = sum;
  }
}

std::shared_ptr<const KeptElsewhere> Tape::kept_elsewhere(const Tensor& tensor) const {
  const auto found = elsewhere_.find(tensor.value_id());
  return found == elsewhere_.end() ? nullptr : found->second.lock();
}

std::shared_ptr<const KeptElsewhere> Tape::keep_elsewhere(const Tensor& tensor) {
  const std::uint64_t id = tensor.value_id();
  if (auto known = kept_elsewhere(tensor)) return known;
  if (!keeping_.offload || tensor.device() == host_memory_of(tensor.device())) return nullptr;
  auto kept = std::make_shared<const KeptElsewhere>(KeptElsewhere::on_host(tensor));
  if (id != 0) elsewhere_[id] = kept;
  return kept;
}

void Tape::add_remake(const Tensor& output, Remake remake) {
  if (!keeping_.remake || mode_ == Mode::kCountUses) return;
  const auto kept = std::make_shared<const KeptElsewhere>(std::move(remake));
  records_.back().remakes.push_back(kept);
  elsewhere_[output.value_id()] = kept;
}

Tensor Tape::grad(const Tensor& tensor) const {
  const auto found = grads_.find(tensor.value_id());
  return found == grads_.end() ? Tensor() : found->second;
}

Tensor GradProduct::value() const {
  Tensor grad = Tensor::empty({dy.dim(0), weight.dim(1)}, weight.dtype(), weight.device());
  backend_of(weight).matmul(dy, false, weight, false, grad);
  return grad;
}

void BackwardContext::add_grad_input(std::size_t index, GradProduct grad) {
  if (input_ids_[index] != 0) tape_.accumulate(input_ids_[index], std::move(grad));
}

void BackwardContext::add_grad_input(std::size_t index, Tensor grad) {
  if (input_ids_[index] != 0) tape_.accumulate(input_ids_[index], std::move(grad));
}

void takes_product(const Tensor& output) {
  Tape& tape = *Tape::current();
  if (tape.mode_ == Tape::Mode::kCountUses) return;
  TANDEM_CHECK(tape.records_.back().output_ids.size() == 1 &&
                   tape.records_.back().output_ids[0] == output.value_id(),
               "{} is not the output of the last record", output.str());
  tape.records_.back().takes_product = true;
}

Tensor recompute(const std::function<Tensor(const Tensor&)>& block, const Tensor& input) {
  return recompute([block](const std::vector<Tensor>& inputs) { return block(inputs[0]); },
                   {input});
}

Tensor recompute(const std::function<Tensor(const std::vector<Tensor>&)>& block,
                 const std::vector<Tensor>& inputs) {
  TANDEM_CHECK(inputs.size() <= kRecomputeInputs, "recompute of {} inputs", inputs.size());
  Tape* outer = Tape::current();
  if (outer == nullptr) return block(inputs);
  // As a tape of its own sees them.
  const auto watched_by = [](Tape& tape, const std::vector<Tensor>& tensors) {
    std::vector<Tensor> watched;
    for (const Tensor& tensor : tensors) {
      watched.push_back(tensor.detach());
      if (tensor.defined()) tape.watch(watched.back());
    }
    return watched;
  };
  Tensor output;
  {
    Tape counting;
    counting.mode_ = Tape::Mode::kCountUses;
    // Uses inside a block that is itself being replayed were counted with that block.
    const TapeScope scope(outer->mode_ == Tape::Mode::kReplay ? nullptr : &counting);
    output = block(watched_by(counting, inputs));
  }
  std::vector<Saved> saved;
  for (const Tensor& input : inputs) saved.emplace_back(input);
  const Tensor none;
  const auto input = [&](std::size_t i) { return i < inputs.size() ? &inputs[i] : &none; };
  outer->record("recompute", {input(0), input(1), input(2)}, {&output}, {},
                [block, saved, watched_by](BackwardContext& context) {
                  Tape inner;
                  inner.mode_ = Tape::Mode::kReplay;
                  std::vector<Tensor> again;
                  for (const Saved& input : saved) again.push_back(input.get());
                  const std::vector<Tensor> replayed_inputs = watched_by(inner, again);
                  Tensor replayed;
                  {
                    const TapeScope scope(&inner);
                    replayed = block(replayed_inputs);
                  }
                  const Tensor outputs[] = {replayed};
                  const Tensor grads[] = {context.grad_output(0)};
                  inner.backward(outputs, grads);
                  for (std::size_t i = 0; i < replayed_inputs.size(); ++i) {
                    const Tensor grad = inner.grad(replayed_inputs[i]);
                    if (grad.defined()) context.add_grad_input(i, grad);
                  }
                });
  return output;
}

void accumulate_into(Leaf& leaf, const std::function<void(Tensor& grad, bool accumulate)>& write) {
  if (!leaf.requires_grad) return;
  if (!leaf.grad.defined() && leaf.on_grad_missing) leaf.on_grad_missing();
  TANDEM_CHECK(leaf.grad.defined(), "gradient buffer of a leaf is not allocated");
  write(leaf.grad, leaf.has_grad);
  leaf.has_grad = true;
}

}  // namespace tandem::runtime
