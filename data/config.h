// What a recipe says about a data set: where it is, what form it has, which fields hold what. One
// struct serves all stages; each stage reads the fields that it needs (text; prompt and completion;
// prompt, chosen and rejected; prompt; text and label; anchor and positive).
#pragma once

#include <cstdint>
#include <string>

#include "runtime/base/fields.h"

namespace tandem::data {

enum class DataFormat { kAuto, kText, kJsonl };
enum class DocumentRule { kLine, kBlankLine, kFile };

struct DataConfig {
  std::string path;
  DataFormat format = DataFormat::kAuto;
  DocumentRule documents = DocumentRule::kLine;
  std::string text_field = "text";
  std::string prompt_field = "prompt";
  std::string completion_field = "completion";
  std::string chosen_field = "chosen";
  std::string rejected_field = "rejected";
  std::string margin_field;
  std::string label_field = "label";
  std::string anchor_field = "anchor";
  std::string positive_field = "positive";
  std::string negative_field;
  double validation_fraction = 0.0;
  std::int64_t max_records = 0;

  void visit_fields(runtime::FieldVisitor& v);
  // The format, with kAuto resolved by the file's name (.jsonl, .ndjson, else text).
  DataFormat resolved_format() const;
};

// Throws Error for values that no reader can work with (an empty path, a fraction outside [0, 1)).
void validate(const DataConfig& config);

}  // namespace tandem::data
