// What is wrong with a layout by itself, and with the batches that it divides.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "models/family.h"
#include "parallel/mesh/mesh.h"
#include "train/config.h"

namespace tandem::launcher {

// Takes a key of the layout and a sentence that names it.
using SayOfLayout = std::function<void(std::string_view key, const std::string& sentence)>;

// What a layout is for.
struct LayoutUse {
  bool trains_in_step = false;  // see the function of this name
  // The model's sizes where they are known and sound without a layout; else null.
  const models::FamilyConfig* sizes = nullptr;
};
void check_layout(const parallel::LayoutConfig& layout, const LayoutUse& use,
                  const SayOfLayout& say);

// Why a step's micro-batches cannot take turns in the chunks of an interleaved pipeline; empty
// where they can.
std::string why_not_interleaved(const train::TrainConfig& config,
                                const parallel::LayoutConfig& layout);

// Why training under a layout cannot be `reproducible: layout`; empty where it can, or need not be.
std::string why_not_reproducible(const train::TrainConfig& config,
                                 const parallel::LayoutConfig& layout);

// The settings that make a layout fit `ranks`: fewer copies of the model, else also no division of
// it. "stage.layout.data_parallel=2", with `key` "stage.layout".
std::string smaller_layout(const std::string& key, const parallel::LayoutConfig& layout,
                           std::int64_t ranks);

}  // namespace tandem::launcher
