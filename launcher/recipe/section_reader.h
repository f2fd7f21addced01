// Reads one mapping of a recipe into a configuration struct, strictly: every key must be known and
// of its type. Where each value came from is recorded under its dotted path, for the checks that
// come later.
#pragma once

#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "launcher/recipe/source.h"
#include "runtime/base/fields.h"

namespace tandem::launcher {

// Dotted path ("stages.pretrain.optimizer.learning_rate") → "recipes/my.yaml:14".
class Origins {
 public:
  void set(const std::string& path, const std::string& origin) { origins_[path] = origin; }
  // Given in the recipe or on the command line, not left at its default.
  bool given(const std::string& path) const { return origins_.contains(path); }
  // Of the path, or else of the closest section around it.
  std::string of(std::string path) const;

 private:
  std::map<std::string, std::string> origins_;
};

class SectionReader final : public runtime::FieldVisitor {
 public:
  // `node` is a mapping or null (all defaults); a scalar stands for the section's `path` where it
  // has that key first.
  SectionReader(const SourceNode& node, std::string path, Origins& origins);

  void field(const runtime::FieldInfo& info, bool& value) override;
  void field(const runtime::FieldInfo& info, std::int64_t& value) override;
  void field(const runtime::FieldInfo& info, double& value) override;
  void field(const runtime::FieldInfo& info, std::string& value) override;
  void field(const runtime::FieldInfo& info, std::vector<std::string>& value) override;
  void field(const runtime::FieldInfo& info, std::vector<std::int64_t>& value) override;
  void field(const runtime::FieldInfo& info, std::vector<double>& value) override;

  // A key that the caller reads by itself.
  void allow(std::string_view key) { known_.emplace_back(key); }
  // After all fields: throws Error for the first unknown key, or else for the first value that does
  // not fit.
  void finish() const;

 protected:
  void visit_choice(const runtime::FieldInfo& info, int& index,
                    std::span<const std::string_view> names) override;
  void visit_nested(const runtime::FieldInfo& info,
                    const std::function<void(runtime::FieldVisitor&)>& visit) override;
  void visit_list(const runtime::FieldInfo& info, const ListItems& items) override;

 private:
  void read_inner(const SourceNode& node, const std::string& path,
                  std::span<const std::string> names,
                  const std::function<void(runtime::FieldVisitor&)>& visit);
  const SourceNode* value_of(const runtime::FieldInfo& info);
  template <typename T>
  void read(const runtime::FieldInfo& info, T& value);
  template <typename T>
  void read_list(const runtime::FieldInfo& info, std::vector<T>& value);
  void add_problem(std::string problem) { problems_.push_back(std::move(problem)); }
  std::string join(std::string_view key) const;

  const SourceNode& node_;
  std::string path_;
  Origins& origins_;
  std::vector<std::string> known_;
  std::vector<std::string>
      nested_;  // keys one level down, for suggestions: "optimizer.learning_rate"
  std::vector<std::string> problems_;
};

// The whole of a section: visits, then finishes.
template <typename Config>
void read_section(const SourceNode& node, const std::string& path, Origins& origins,
                  Config& config) {
  SectionReader reader(node, path, origins);
  config.visit_fields(reader);
  reader.finish();
}

}  // namespace tandem::launcher
