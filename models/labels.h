// What a classifier tells apart, as Hugging Face's config.json says it: id2label, problem_type.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace tandem::models {

enum class ProblemType {
  kSingleLabel,  // each text has one of the labels
  kMultiLabel,   // each text has any number of them
  kRegression,   // each text has a number for each of them
};
// "single_label_classification": as config.json and recipes write it.
std::string_view name_of(ProblemType problem);

struct Labels {
  std::vector<std::string> names = {};  // by id; empty: no classifier
  ProblemType problem = ProblemType::kSingleLabel;

  std::int64_t count() const { return static_cast<std::int64_t>(names.size()); }
  bool operator==(const Labels&) const = default;
};

// LABEL_0, LABEL_1, …: what transformers calls labels without names.
std::vector<std::string> numbered_labels(std::int64_t count);

}  // namespace tandem::models
