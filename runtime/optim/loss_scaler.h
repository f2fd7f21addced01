// Dynamic loss scaling (Micikevicius et al. 2018): the loss is multiplied before it is
// differentiated, so that small gradients survive in fp16, by as much as the large ones allow.
// Scales follow one another as those of torch.amp.GradScaler.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace tandem::runtime {

struct LossScaleOptions {
  double initial = 65536.0;
  double growth_factor = 2.0;
  double backoff_factor = 0.5;
  std::int64_t growth_interval = 2000;  // updates in a row without overflow
};

class LossScaler {
 public:
  explicit LossScaler(const LossScaleOptions& options)
      : options_(options), scale_(static_cast<float>(options.initial)) {}

  // What multiplies the loss; gradients are divided by it.
  float scale() const { return scale_; }
  // Steps whose update was left out.
  std::int64_t skipped() const { return skipped_; }

  // After each step; `overflow`: its gradient was not finite, on whichever rank.
  void update(bool overflow);

  // What a checkpoint holds. load() throws Error where that cannot be read.
  std::string state() const;
  void load_state(std::string_view text);

 private:
  LossScaleOptions options_;
  float scale_;
  std::int64_t good_ = 0;  // updates since the last overflow or growth
  std::int64_t skipped_ = 0;
};

}  // namespace tandem::runtime
