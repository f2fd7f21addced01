#include "launcher/recipe/precision_checks.h"

#include <fmt/format.h>

namespace tandem::launcher {

namespace {

// Of one model: both say how its matrices are multiplied.
void check_quantized(runtime::QuantFormat quantize, runtime::Precision precision,
                     const std::string& key, const train::Complain& complain) {
  if (quantize == runtime::QuantFormat::kNone || precision != runtime::Precision::kFp8) return;
  complain(key, fmt::format("{} leaves no matrix for precision: fp8 to multiply; set precision: "
                            "bf16, or leave it out",
                            runtime::kQuantFormatNames[static_cast<int>(quantize)]));
}

void check_roles(const PpoStage& stage, const train::Complain& complain) {
  const Placement& placement = stage.placement;
  check_quantized(stage.tuning.quantize, placement.policy.precision, "quantize", complain);
  for (const auto& [name, role] :
       {std::pair{"reference", &placement.reference}, std::pair{"reward", &placement.reward}})
    check_quantized(role->quantize, role->precision, fmt::format("placement.{}.quantize", name),
                    complain);
}

}  // namespace

void check_precision(const StageConfig& config, const train::Complain& complain) {
  std::visit(
      [&](const auto& stage) {
        if constexpr (requires { stage.placement; })
          check_roles(stage, complain);
        else if constexpr (requires { stage.train, stage.tuning; })
          check_quantized(stage.tuning.quantize, stage.train.precision, "quantize", complain);
      },
      config);
}

}  // namespace tandem::launcher
