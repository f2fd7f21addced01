#include "models/labels.h"

#include <fmt/format.h>

#include <array>

#include "models/config_file.h"

namespace tandem::models {

using nlohmann::json;

namespace {

constexpr std::array<std::string_view, 3> kProblems{"single_label_classification",
                                                    "multi_label_classification", "regression"};

std::vector<std::string> read_names(const ConfigFile& file) {
  const ConfigFile names = file.section("id2label");
  const auto count = static_cast<std::int64_t>(names.object().size());
  if (count == 0) return numbered_labels(file.integer("num_labels", 0));
  std::vector<std::string> result;
  for (std::int64_t id = 0; id < count; ++id) {
    if (!names.has(std::to_string(id)))
      file.refuse("id2label", "has {} labels, but none with the id {}", count, id);
    result.push_back(names.text(std::to_string(id), ""));
  }
  return result;
}

}  // namespace

std::string_view name_of(ProblemType problem) {
  return kProblems[static_cast<std::size_t>(problem)];
}

std::vector<std::string> numbered_labels(std::int64_t count) {
  std::vector<std::string> names;
  for (std::int64_t i = 0; i < count; ++i) names.push_back(fmt::format("LABEL_{}", i));
  return names;
}

Labels read_labels(const ConfigFile& file) {
  Labels labels{.names = read_names(file)};
  file.expect_text("problem_type", {kProblems[0], kProblems[1], kProblems[2]});
  const std::string problem = file.text("problem_type", "");
  if (problem.empty()) {
    if (labels.count() == 1) labels.problem = ProblemType::kRegression;
    return labels;
  }
  while (name_of(labels.problem) != problem)
    labels.problem = static_cast<ProblemType>(static_cast<int>(labels.problem) + 1);
  return labels;
}

void write_labels(const Labels& labels, json& object) {
  json names = json::object(), ids = json::object();
  for (std::int64_t id = 0; id < labels.count(); ++id) {
    const std::string& name = labels.names[static_cast<std::size_t>(id)];
    names[std::to_string(id)] = name;
    ids[name] = id;
  }
  object["num_labels"] = labels.count();
  object["id2label"] = names;
  object["label2id"] = ids;
  object["problem_type"] = name_of(labels.problem);
}

}  // namespace tandem::models
