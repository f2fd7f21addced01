// One visited list of fields drives parsing, defaults, printing, documenting and comparing a
// configuration. A configuration struct lists its fields once:
//
//   struct OptimizerConfig {
//     double learning_rate = 3e-4;
//     Schedule schedule = Schedule::kCosine;
//     void visit_fields(FieldVisitor& v) {
//       v.field({"learning_rate", "peak learning rate"}, learning_rate);
//       v.choice({"schedule", "shape of the learning rate"}, schedule, {"constant", "linear",
//       "cosine"});
//     }
//   };
//
// The default is the member's initial value. Visitors: the recipe reader, the resolved-recipe
// writer, the documentation generator (all in launcher/recipe).
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace tandem::runtime {

struct FieldInfo {
  std::string_view name;  // the recipe key
  std::string_view help;  // one sentence, without the final period
  std::string_view unit = {};
  bool required = false;  // no usable default: the reader refuses a recipe without it
};

class FieldVisitor {
 public:
  virtual ~FieldVisitor() = default;

  virtual void field(const FieldInfo& info, bool& value) = 0;
  virtual void field(const FieldInfo& info, std::int64_t& value) = 0;
  virtual void field(const FieldInfo& info, double& value) = 0;
  virtual void field(const FieldInfo& info, std::string& value) = 0;
  virtual void field(const FieldInfo& info, std::vector<std::string>& value) = 0;
  virtual void field(const FieldInfo& info, std::vector<std::int64_t>& value) = 0;
  virtual void field(const FieldInfo& info, std::vector<double>& value) = 0;

  // An enum whose enumerators 0, 1, … are written as `names`.
  template <typename Enum>
  void choice(const FieldInfo& info, Enum& value, std::initializer_list<std::string_view> names) {
    choice(info, value, std::span(names.begin(), names.size()));
  }
  template <typename Enum>
  void choice(const FieldInfo& info, Enum& value, std::span<const std::string_view> names) {
    int index = static_cast<int>(value);
    visit_choice(info, index, names);
    value = static_cast<Enum>(index);
  }

  // A text that is one of `names`, of which there is at least one.
  void one_of(const FieldInfo& info, std::string& value, std::span<const std::string_view> names) {
    int index = 0;
    for (std::size_t i = 0; i < names.size(); ++i)
      if (names[i] == value) index = static_cast<int>(i);
    visit_choice(info, index, names);
    value = names[static_cast<std::size_t>(index)];
  }

  // A struct with visit_fields of its own, as a nested mapping.
  template <typename Config>
  void nested(const FieldInfo& info, Config& config) {
    visit_nested(info, [&config](FieldVisitor& inner) { config.visit_fields(inner); });
  }

  // Several such structs, as a list of mappings.
  template <typename Config>
  void list(const FieldInfo& info, std::vector<Config>& items) {
    visit_list(info,
               {.size = items.size(),
                .resize = [&items](std::size_t size) { items.resize(size); },
                .visit = [&items](std::size_t index,
                                  FieldVisitor& inner) { items[index].visit_fields(inner); }});
  }

 protected:
  struct ListItems {
    std::size_t size = 0;
    std::function<void(std::size_t size)> resize;
    std::function<void(std::size_t index, FieldVisitor& inner)> visit;
  };

  virtual void visit_choice(const FieldInfo& info, int& index,
                            std::span<const std::string_view> names) = 0;
  virtual void visit_nested(const FieldInfo& info,
                            const std::function<void(FieldVisitor&)>& visit) = 0;
  virtual void visit_list(const FieldInfo& info, const ListItems& items) = 0;
};

}  // namespace tandem::runtime
