// A configuration struct as a flat list of its keys: what the writer, the documentation and the
// comparison of two recipes are made from.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "runtime/base/fields.h"

namespace tandem::launcher {

struct FieldRow {
  std::string path = {};  // dotted, from the struct that was listed
  std::string name = {};  // its last part
  int depth = 0;          // sections around it
  bool section = false;
  bool required = false;
  // "integer", "number", "true or false", "text", "list of …", "a, b or c"; "section"
  std::string type;
  std::string value = {};  // as YAML writes it; empty for a section
  std::string help = {};
  std::string unit = {};
};

// A section's row comes right before those of its keys. So does that of a list of sections, each of
// which is a section named by its number: 0, 1, ….
class FieldLister final : public runtime::FieldVisitor {
 public:
  std::vector<FieldRow> rows;

  void field(const runtime::FieldInfo& info, bool& value) override;
  void field(const runtime::FieldInfo& info, std::int64_t& value) override;
  void field(const runtime::FieldInfo& info, double& value) override;
  void field(const runtime::FieldInfo& info, std::string& value) override;
  void field(const runtime::FieldInfo& info, std::vector<std::string>& value) override;
  void field(const runtime::FieldInfo& info, std::vector<std::int64_t>& value) override;
  void field(const runtime::FieldInfo& info, std::vector<double>& value) override;

 protected:
  void visit_choice(const runtime::FieldInfo& info, int& index,
                    std::span<const std::string_view> names) override;
  void visit_nested(const runtime::FieldInfo& info,
                    const std::function<void(runtime::FieldVisitor&)>& visit) override;
  void visit_list(const runtime::FieldInfo& info, const ListItems& items) override;

 private:
  void add(const runtime::FieldInfo& info, std::string type, std::string value);

  std::string prefix_;
  int depth_ = 0;
};

// Takes a copy, because visiting is not const.
template <typename Config>
std::vector<FieldRow> list_fields(Config config) {
  FieldLister lister;
  config.visit_fields(lister);
  return lister.rows;
}

// Text as a YAML scalar that reads back as the same text: quoted unless it is plainly a word or a
// path.
std::string yaml_text(std::string_view text);

}  // namespace tandem::launcher
