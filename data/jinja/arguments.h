// The arguments of a call, and what a function written in C++ makes of them.
#pragma once

#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "data/jinja/value.h"

namespace tandem::data::jinja {

struct CallArguments {
  std::vector<Value> positional;
  std::vector<std::pair<std::string, Value>> keyword;
};

// Arguments sorted by the names of the parameters. Reads throw Failure for a value of another type
// than the function can use.
class BoundArguments {
 public:
  // `function` and `names` must outlive this object. Throws Failure for arguments that are too
  // many, unknown or given twice.
  BoundArguments(std::string_view function, const CallArguments& arguments,
                 std::initializer_list<std::string_view> names);

  bool has(std::size_t index) const { return values_[index].has_value(); }
  // Undefined where it is not given.
  Value get(std::size_t index) const { return values_[index].value_or(Value()); }
  const Value& required(std::size_t index) const;

  // None counts as not given.
  std::optional<std::string> text(std::size_t index) const;
  std::int64_t integer(std::size_t index, std::int64_t fallback) const;
  bool flag(std::size_t index, bool fallback) const;

 private:
  std::string_view function_;
  std::vector<std::string_view> names_;
  std::vector<std::optional<Value>> values_;
};

}  // namespace tandem::data::jinja
