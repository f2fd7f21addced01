#include "rl/kl_controller.h"

#include <algorithm>

#include "rl/state_text.h"
#include "runtime/base/error.h"

namespace tandem::rl {
namespace {

constexpr double kMaxRelativeError = 0.2;

}  // namespace

KlController::KlController(double initial_coefficient, std::optional<double> target, double horizon)
    : coefficient_(initial_coefficient), target_(target), horizon_(horizon) {
  TANDEM_CHECK(!target || (*target > 0 && horizon > 0), "target {}, horizon {}", *target, horizon);
}

void KlController::update(double mean_kl_per_response, std::int64_t samples) {
  if (!target_) return;
  const double error =
      std::clamp(mean_kl_per_response / *target_ - 1, -kMaxRelativeError, kMaxRelativeError);
  coefficient_ *= 1 + error * static_cast<double>(samples) / horizon_;
}

std::string KlController::state() const {
  return numbers_to_text("kl_controller", {coefficient_});
}

void KlController::load_state(std::string_view text) {
  coefficient_ = numbers_from_text("kl_controller", text, 1)[0];
}

}  // namespace tandem::rl
