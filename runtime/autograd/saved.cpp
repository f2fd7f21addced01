#include "runtime/autograd/saved.h"

#include <utility>

#include "runtime/autograd/tape.h"

namespace tandem::runtime {

KeepingScope::KeepingScope(Keeping keeping) : tape_(Tape::current()) {
  if (tape_ != nullptr) previous_ = std::exchange(tape_->keeping_, keeping);
}
KeepingScope::~KeepingScope() {
  if (tape_ != nullptr) tape_->keeping_ = previous_;
}

KeptElsewhere KeptElsewhere::on_host(const Tensor& tensor) {
  return KeptElsewhere([host = tensor.to(host_memory_of(tensor.device())),
                        device = tensor.device()] { return host.to(device); });
}

Saved::Saved(const Tensor& tensor) {
  Tape* tape = Tape::current();
  TANDEM_CHECK(tape != nullptr, "{} is saved where no tape records", tensor.str());
  // The first run of a block that runs twice keeps nothing.
  if (!tensor.defined() || tape->mode_ == Tape::Mode::kCountUses) return;
  shape_ = tensor.shape();
  elsewhere_ = tape->keep_elsewhere(tensor);
  if (elsewhere_ == nullptr) tensor_ = tensor.detach();
}

Tensor Saved::get() const {
  return elsewhere_ != nullptr ? elsewhere_->get().view(shape_).detach() : tensor_;
}

Saved save_output(Tensor& output) {
  Tape::current()->watch(output);
  return Saved(output);
}

bool is_kept_elsewhere(const Tensor& tensor) {
  return Tape::current()->kept_elsewhere(tensor) != nullptr;
}

void can_be_remade(const Tensor& output, Remake remake) {
  Tape::current()->add_remake(output, std::move(remake));
}

}  // namespace tandem::runtime
