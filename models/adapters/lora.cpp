#include "models/adapters/lora.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <regex>
#include <set>

#include "runtime/base/error.h"

namespace tandem::models {

using parallel::Init;
using parallel::ShardPiece;
using parallel::ShardSpec;

namespace {

bool is_plain(const std::string& target) {
  return std::ranges::all_of(target, [](unsigned char c) {
    return std::isalnum(c) != 0 || c == '_' || c == '.' || c == '-';
  });
}

bool is_all_linear(const std::vector<std::string>& targets) {
  return targets.size() == 1 && targets[0] == LoraConfig::kAllLinear;
}

bool answers(const std::string& target, const std::string& path) {
  if (path == target || path.ends_with("." + target)) return true;
  return !is_plain(target) && std::regex_match(path, std::regex(target));
}

// "q_proj" of "model.layers.0.self_attn.q_proj".
std::string last_name(const std::string& path) {
  return path.substr(path.rfind('.') + 1);
}

// The different names, in the order of the modules.
std::vector<std::string> names_of(const std::vector<std::string>& paths) {
  std::vector<std::string> names;
  for (const std::string& path : paths)
    if (std::ranges::find(names, last_name(path)) == names.end()) names.push_back(last_name(path));
  return names;
}

}  // namespace

void LoraConfig::visit_fields(runtime::FieldVisitor& v) {
  v.field({"rank", "inner width of the adapter; 0 trains the model itself"}, rank);
  v.field({"alpha", "the adapter's output counts alpha / rank"}, alpha);
  v.field({"target_modules",
           "modules that are adapted, by name (q_proj) or as regular expressions of whole paths; "
           "`all-linear`: every linear layer of the blocks"},
          target_modules);
  v.field({"dropout",
           "probability with which each number that an adapter reads in training counts as 0"},
          dropout);
}

bool targets_module(const std::vector<std::string>& targets, const std::string& path) {
  return is_all_linear(targets) ||
         std::ranges::any_of(targets, [&](const auto& target) { return answers(target, path); });
}

void check_targets(const std::vector<std::string>& targets) {
  if (targets.empty())
    runtime::throw_error("names no module; use {}, or names such as q_proj",
                         LoraConfig::kAllLinear);
  for (const std::string& target : targets) try {
      if (!is_plain(target)) std::regex{target};
    } catch (const std::regex_error&) {
      runtime::throw_error("'{}' is no regular expression", target);
    }
}

Adapter::Adapter(LoraConfig config, parallel::StoreOptions options)
    : config_(std::move(config)), store_(std::move(options)) {}

bool Adapter::selects(const std::string& path) {
  modules_.push_back(path);
  const bool selected = targets_module(config_.target_modules, path);
  if (selected) selected_.push_back(path);
  return selected;
}

LoraBranch Adapter::add(const AdaptedModule& module, int dim, bool partial_use) {
  const std::int64_t rank = config_.rank;
  // The variance of PyTorch's uniform numbers in ±1/√in.
  const float std = 1.0f / std::sqrt(3.0f * static_cast<float>(module.in));
  ShardSpec a{.dim = dim == 1 ? 1 : -1,
              .pieces = {{module.path + ".lora_A.weight", {rank, module.in}}}};
  ShardSpec b{.dim = dim == 0 ? 0 : -1, .pieces = {}};
  for (const ShardPiece& piece : module.pieces)
    b.pieces.push_back({module.path + ".lora_B.weight", {piece.shape[0], rank}, piece.first});
  const auto add = [&](const char* name, ShardSpec spec, Init init) {
    const bool partial = spec.dim < 0 && partial_use;
    return store_.add(module.path + name, std::move(spec),
                      {.init = init, .partial_over_tp = partial});
  };
  return {.a = add(".lora_A", std::move(a), Init::normal(std)),
          .b = add(".lora_B", std::move(b), Init::constant(0.0f)),
          .first_column = module.first_column,
          .path = module.path};
}

std::shared_ptr<const runtime::DropoutDraws> Adapter::draws_for(
    const std::vector<std::uint64_t>& numbers) const {
  if (!draws_masks() || numbers.empty() || runtime::Tape::current() == nullptr) return nullptr;
  return std::make_shared<const runtime::DropoutDraws>(
      runtime::DropoutDraws::of(seed_, step_, numbers));
}

void Adapter::allocate() {
  for (const std::string& target : config_.target_modules) {
    if (is_all_linear(config_.target_modules)) break;
    if (std::ranges::any_of(modules_, [&](const auto& path) { return answers(target, path); }))
      continue;
    runtime::throw_error("no module is called '{}'; this model has {}", target,
                         fmt::join(names_of(modules_), ", "));
  }
  store_.allocate();
}

std::vector<std::string> Adapter::target_modules() const {
  const auto names_alone = std::ranges::all_of(config_.target_modules, is_plain);
  if (is_all_linear(config_.target_modules)) return names_of(selected_);
  return names_alone ? config_.target_modules : selected_;
}

}  // namespace tandem::models
