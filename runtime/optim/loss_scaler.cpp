#include "runtime/optim/loss_scaler.h"

#include <cmath>
#include <cstdio>

#include "runtime/base/error.h"

namespace tandem::runtime {

void LossScaler::update(bool overflow) {
  if (overflow) {
    ++skipped_;
    good_ = 0;
    scale_ = static_cast<float>(scale_ * options_.backoff_factor);
    return;
  }
  if (++good_ < options_.growth_interval) return;
  good_ = 0;
  const auto grown = static_cast<float>(scale_ * options_.growth_factor);
  if (std::isfinite(grown)) scale_ = grown;
}

std::string LossScaler::state() const {
  return fmt::format("{} {} {}", scale_, good_, skipped_);
}

void LossScaler::load_state(std::string_view text) {
  float scale = 0;
  long long good = 0, skipped = 0;
  if (std::sscanf(std::string(text).c_str(), "%f %lld %lld", &scale, &good, &skipped) != 3)
    throw_error("the recorded loss scale '{}' is damaged", text);
  scale_ = scale;
  good_ = good;
  skipped_ = skipped;
}

}  // namespace tandem::runtime
