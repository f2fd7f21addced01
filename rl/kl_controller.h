// The coefficient of the KL penalty, fixed or steered towards a target (Ziegler et al. 2019,
// "Fine-tuning language models from human preferences", section 2.2): a proportional controller on
// the relative error, clipped to ±0.2 so that one odd batch cannot swing it. Its state is part of a
// checkpoint.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace tandem::rl {

class KlController {
 public:
  // With no target the coefficient stays. `target` is in nats per response (the sum over its
  // tokens); `horizon` is the number of samples over which a steady error of 100 % would move the
  // coefficient by a factor e.
  explicit KlController(double initial_coefficient, std::optional<double> target = std::nullopt,
                        double horizon = 10000);

  double coefficient() const { return coefficient_; }
  // After an iteration whose `samples` responses had this mean KL to the reference.
  void update(double mean_kl_per_response, std::int64_t samples);

  // Text that load_state reads back to the same bits; Error (environment) if it is damaged.
  std::string state() const;
  void load_state(std::string_view text);

 private:
  double coefficient_;
  std::optional<double> target_;
  double horizon_;
};

}  // namespace tandem::rl
