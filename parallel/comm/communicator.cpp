#include "parallel/comm/communicator.h"

#include <exception>

#include "runtime/base/log.h"

namespace tandem::parallel {

Work::Work(std::unique_ptr<Impl> impl)
    : impl_(std::move(impl)), exceptions_at_start_(std::uncaught_exceptions()) {}

Work& Work::operator=(Work&& other) noexcept {
  if (this == &other) return *this;
  finish();
  impl_ = std::move(other.impl_);
  exceptions_at_start_ = other.exceptions_at_start_;
  return *this;
}

Work::~Work() {
  finish();
}

// While the stack unwinds, the peers may never answer: waiting would turn an error into a hang.
void Work::finish() noexcept {
  if (!impl_ || impl_->hopeless() || std::uncaught_exceptions() > exceptions_at_start_) return;
  try {
    wait();
  } catch (const std::exception& error) {
    runtime::log_error("{}", error.what());
  }
}

bool Work::test() {
  if (impl_ && impl_->test()) impl_.reset();
  return !impl_;
}

void Work::wait() {
  if (!impl_) return;
  const std::unique_ptr<Impl> impl = std::move(impl_);
  impl->wait();
}

}  // namespace tandem::parallel
