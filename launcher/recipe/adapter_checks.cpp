#include "launcher/recipe/adapter_checks.h"

#include <fmt/format.h>

#include <optional>

#include "models/model_files.h"
#include "runtime/base/error.h"

namespace tandem::launcher {

void check_tuning(const FineTuning& tuning, bool lora_given,
                  const std::function<void(std::string_view key, const std::string&)>& say) {
  const models::LoraConfig& lora = tuning.lora;
  if (lora_given && lora.rank < 1)
    say("lora.rank", fmt::format("'lora.rank' must be positive, got {}; leave 'lora' out to train "
                                 "the model itself",
                                 lora.rank));
  if (lora_given && lora.alpha <= 0)
    say("lora.alpha", fmt::format("'lora.alpha' must be positive, got {}", lora.alpha));
  if (lora.dropout < 0 || lora.dropout >= 1)
    say("lora.dropout", fmt::format("'lora.dropout' must be in [0, 1), got {}", lora.dropout));
  try {
    models::check_targets(lora.target_modules);
  } catch (const runtime::Error& error) {
    say("lora.target_modules", fmt::format("'lora.target_modules': {}", error.what()));
  }
  if (tuning.quantize != runtime::QuantFormat::kNone && !lora_given)
    say("quantize",
        fmt::format("'quantize' {} is for weights that are not trained, but this stage trains all; "
                    "add lora: {{rank: 16}}, or leave 'quantize' out",
                    runtime::kQuantFormatNames[static_cast<int>(tuning.quantize)]));
}

std::string why_not_adapted(const models::LoraConfig& lora, const std::filesystem::path& directory,
                            models::Head head) {
  std::optional<models::AnyConfig> sizes;
  try {
    sizes = models::read_model_config(directory);
  } catch (const runtime::Error&) {
    return "";
  }
  models::BuildOptions options;
  options.head = head;
  options.device = {runtime::DeviceType::kMeta, 0};
  options.lora = lora;
  try {
    (*sizes)->make(options);
  } catch (const runtime::Error& error) {
    return error.what();
  }
  return "";
}

}  // namespace tandem::launcher
