// What a recipe says about a data set: where it is, what form it has, which fields hold what. One
// struct serves all stages; each stage reads the fields that it needs (text; prompt and completion,
// or messages; prompt, chosen and rejected; prompt; text and label; anchor and positive).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "runtime/base/fields.h"

namespace tandem::data {

enum class DataFormat { kAuto, kText, kJsonl, kParquet };
enum class DocumentRule { kLine, kBlankLine, kFile };
enum class BadRecordRule { kStop, kSkip };

struct DataConfig {
  std::string path;
  DataFormat format = DataFormat::kAuto;
  DocumentRule documents = DocumentRule::kLine;
  std::string text_field = "text";
  std::string prompt_field = "prompt";
  std::string completion_field = "completion";
  std::string chosen_field = "chosen";
  std::string rejected_field = "rejected";
  std::string messages_field = "messages";
  std::string margin_field;
  std::string label_field = "label";
  std::string anchor_field = "anchor";
  std::string positive_field = "positive";
  std::string negative_field;
  double validation_fraction = 0.0;
  std::int64_t max_records = 0;
  BadRecordRule on_bad_record = BadRecordRule::kStop;

  void visit_fields(runtime::FieldVisitor& v);
  // The format of one of the files, with kAuto resolved by its name (.jsonl, .ndjson, also with .gz
  // or .zst after it; .parquet; else text).
  DataFormat format_of(const std::string& file) const;

 protected:
  void visit_keys(runtime::FieldVisitor& v, bool path_required);
};

// One of several data sets that are mixed (blended.h), with its share.
struct WeightedData : DataConfig {
  double weight = 1.0;

  void visit_fields(runtime::FieldVisitor& v);
};

// What a stage trains on: one data set, or, where `sources` are given, a blend of them.
struct BlendConfig : DataConfig {
  std::vector<WeightedData> sources;

  void visit_fields(runtime::FieldVisitor& v);
};

// Throws Error for values that no reader can work with (an empty path, a fraction outside [0, 1)).
void validate(const DataConfig& config);
// The same for each source. Throws Error also where both a path and sources are given, and for
// weights that are not positive.
void validate(const BlendConfig& config);

}  // namespace tandem::data
