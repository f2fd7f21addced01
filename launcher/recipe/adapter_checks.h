// What is wrong with an adapter and with the numbers that the model below it is held in.
#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <string_view>

#include "launcher/recipe/stages.h"

namespace tandem::launcher {

// `lora_given`: the recipe has the section. `say` takes a key and a sentence that names it.
void check_tuning(const FineTuning& tuning, bool lora_given,
                  const std::function<void(std::string_view key, const std::string&)>& say);

// Why the model in `directory` has no such modules; empty where it has, or where there is no such
// model, which is reported elsewhere.
std::string why_not_adapted(const models::LoraConfig& lora, const std::filesystem::path& directory,
                            models::Head head);

}  // namespace tandem::launcher
