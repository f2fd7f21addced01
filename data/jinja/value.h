// What a template computes with: Python's values as far as chat templates use them. Everything is
// immutable and shared, except namespaces, as in the sandbox in which transformers runs templates.
//
// A value knows its weight: the bytes and elements that printing it would touch, counted as often
// as they appear; and its depth. Values above a limit are refused when they are built, so that a
// hostile template can neither fill the memory nor make one operation endless.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace tandem::data::jinja {

// What is wrong while a template runs; the renderer adds the line.
class Failure : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

class Value;
class Context;
struct CallArguments;

struct Undefined {
  std::string name;  // what was looked up, for errors
};
struct None {};

struct Sequence {
  // kIterator: what Python's generators are, such as the result of selectattr. It has no length and
  // no elements by number, and counts as true even where nothing is in it.
  enum class Kind { kList, kTuple, kIterator };

  std::vector<Value> items;
  Kind kind = Kind::kList;
  std::size_t weight = 1;
  int depth = 1;
};

// Keys keep the order in which they came.
struct Dict {
  std::vector<std::pair<Value, Value>> items;
  std::size_t weight = 1;
  int depth = 1;

  const Value* find(const Value& key) const;
  const Value* find(std::string_view key) const;
};

// Names that a template can change: its scopes, namespace(…) and `loop`.
struct Variables {
  std::map<std::string, Value, std::less<>> values;
  std::shared_ptr<Variables> outer;
  bool assignable = false;  // by `set x.name = …`
};

struct Function {
  std::string name;
  std::function<Value(Context&, const CallArguments&)> call;
};

class Value {
 public:
  Value() = default;  // undefined
  Value(Undefined undefined) : data_(std::move(undefined)) {}
  Value(None none) : data_(none) {}
  Value(bool value) : data_(value) {}
  Value(std::int64_t value) : data_(value) {}
  Value(int value) : data_(std::int64_t{value}) {}
  Value(std::size_t value) : data_(static_cast<std::int64_t>(value)) {}
  Value(double value) : data_(value) {}
  Value(std::string text);
  Value(std::string_view text) : Value(std::string(text)) {}
  Value(const char* text) : Value(std::string(text)) {}
  Value(std::shared_ptr<Variables> variables) : data_(std::move(variables)) {}
  Value(Function function) : data_(std::make_shared<const Function>(std::move(function))) {}

  static Value sequence(std::vector<Value> items, Sequence::Kind kind);
  static Value list(std::vector<Value> items) {
    return sequence(std::move(items), Sequence::Kind::kList);
  }
  static Value tuple(std::vector<Value> items) {
    return sequence(std::move(items), Sequence::Kind::kTuple);
  }
  static Value iterator(std::vector<Value> items) {
    return sequence(std::move(items), Sequence::Kind::kIterator);
  }
  // A key that comes again replaces the first one's value.
  static Value dict(std::vector<std::pair<Value, Value>> items);
  static Value from_json(const nlohmann::ordered_json& json);

  template <typename T>
  bool is() const {
    return std::holds_alternative<T>(data_);
  }
  bool is_undefined() const { return is<Undefined>(); }
  bool is_none() const { return is<None>(); }
  bool is_bool() const { return is<bool>(); }
  bool is_integer() const { return is<std::int64_t>(); }
  bool is_number() const { return is_bool() || is_integer() || is<double>(); }
  bool is_string() const { return is<Text>(); }
  bool is_sequence() const { return is<List>(); }
  bool is_iterator() const { return is_sequence() && sequence().kind == Sequence::Kind::kIterator; }
  bool is_dict() const { return is<DictPointer>(); }
  bool is_variables() const { return is<std::shared_ptr<Variables>>(); }
  bool is_function() const { return is<FunctionPointer>(); }

  // The caller has asked what it is.
  const Undefined& undefined() const { return std::get<Undefined>(data_); }
  bool boolean() const { return std::get<bool>(data_); }
  std::int64_t integer() const;  // also of a bool
  double number() const;         // of any number
  const std::string& string() const { return *std::get<Text>(data_); }
  const Sequence& sequence() const { return *std::get<List>(data_); }
  const Dict& dict() const { return *std::get<DictPointer>(data_); }
  const std::shared_ptr<Variables>& variables() const {
    return std::get<std::shared_ptr<Variables>>(data_);
  }
  const Function& function() const { return *std::get<FunctionPointer>(data_); }

  bool truth() const;
  std::size_t weight() const;
  int depth() const;  // of lists and dicts in each other
  // As Python names the type; for errors.
  std::string_view type_name() const;

 private:
  using Text = std::shared_ptr<const std::string>;
  using List = std::shared_ptr<const Sequence>;
  using DictPointer = std::shared_ptr<const Dict>;
  using FunctionPointer = std::shared_ptr<const Function>;

  std::variant<Undefined, None, bool, std::int64_t, double, Text, List, DictPointer,
               std::shared_ptr<Variables>, FunctionPointer>
      data_;
};

bool equal(const Value& a, const Value& b);

// Throws Failure for a value of this weight, which is too large.
void check_weight(std::size_t weight);

// The elements that a `for` sees: a string's characters, a dict's keys, nothing of an undefined
// value. Throws Failure for what cannot be iterated.
std::vector<Value> elements(const Value& value);

}  // namespace tandem::data::jinja
