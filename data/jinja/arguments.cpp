#include "data/jinja/arguments.h"

#include <fmt/format.h>

#include <algorithm>

namespace tandem::data::jinja {

BoundArguments::BoundArguments(std::string_view function, const CallArguments& arguments,
                               std::initializer_list<std::string_view> names)
    : function_(function), names_(names), values_(names.size()) {
  if (arguments.positional.size() > names_.size())
    throw Failure(fmt::format("{} takes at most {} arguments, {} are given", function,
                              names_.size(), arguments.positional.size()));
  std::ranges::copy(arguments.positional, values_.begin());
  for (const auto& [name, value] : arguments.keyword) {
    const auto found = std::ranges::find(names_, name);
    if (found == names_.end())
      throw Failure(fmt::format("{} has no argument '{}'", function, name));
    auto& place = values_[static_cast<std::size_t>(found - names_.begin())];
    if (place) throw Failure(fmt::format("{} gets its argument '{}' twice", function, name));
    place = value;
  }
}

const Value& BoundArguments::required(std::size_t index) const {
  if (!values_[index])
    throw Failure(fmt::format("{} lacks its argument '{}'", function_, names_[index]));
  return *values_[index];
}

std::optional<std::string> BoundArguments::text(std::size_t index) const {
  if (!values_[index] || values_[index]->is_none()) return std::nullopt;
  if (!values_[index]->is_string())
    throw Failure(fmt::format("the argument '{}' of {} is {}, a string is expected", names_[index],
                              function_, values_[index]->type_name()));
  return values_[index]->string();
}

std::int64_t BoundArguments::integer(std::size_t index, std::int64_t fallback) const {
  if (!values_[index] || values_[index]->is_none()) return fallback;
  if (!values_[index]->is_integer() && !values_[index]->is_bool())
    throw Failure(fmt::format("the argument '{}' of {} is {}, an integer is expected",
                              names_[index], function_, values_[index]->type_name()));
  return values_[index]->integer();
}

bool BoundArguments::flag(std::size_t index, bool fallback) const {
  return values_[index] ? values_[index]->truth() : fallback;
}

}  // namespace tandem::data::jinja
