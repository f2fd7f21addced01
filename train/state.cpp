#include "train/state.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "runtime/base/error.h"
#include "runtime/io/json_text.h"

namespace tandem::train {

using nlohmann::json;
using runtime::throw_error;

void StateRegistry::add(std::string name, Save save, Load load) {
  parts_.push_back({std::move(name), std::move(save), std::move(load)});
}

std::string StateRegistry::save() const {
  json object = json::object();
  for (const Part& part : parts_) object[part.name] = part.save();
  return runtime::json_text(object, 1) + "\n";
}

void StateRegistry::load(const std::string& text, const std::string& origin) const {
  json object;
  try {
    object = runtime::parse_json(text);
  } catch (const json::exception& error) {
    throw_error(
        "{}: not valid JSON ({}); the checkpoint is damaged, delete its folder to go on from an "
        "earlier one",
        origin, error.what());
  }
  for (const auto& item : object.items()) {
    const bool known =
        std::ranges::any_of(parts_, [&](const Part& part) { return part.name == item.key(); });
    if (!known)
      throw_error(
          "{}: holds the state '{}', which this run does not have; resume with the recipe that "
          "wrote it",
          origin, item.key());
  }
  for (const Part& part : parts_) {
    const auto found = object.find(part.name);
    if (found == object.end() || !found->is_string())
      throw_error("{}: the state '{}' is missing; resume with the recipe that wrote the checkpoint",
                  origin, part.name);
    part.load(found->get<std::string>());
  }
}

}  // namespace tandem::train
