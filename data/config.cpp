#include "data/config.h"

#include <filesystem>

#include "runtime/base/error.h"

namespace tandem::data {

using runtime::throw_error;

void DataConfig::visit_fields(runtime::FieldVisitor& v) {
  v.field({.name = "path", .help = "the data file", .required = true}, path);
  v.choice(
      {"format", "form of the file; auto reads .jsonl and .ndjson as JSONL and all else as text"},
      format, {"auto", "text", "jsonl"});
  v.choice(
      {"documents",
       "what one document of a text file is: a line, what stands between blank lines, or the file"},
      documents, {"line", "blank_line", "file"});
  v.field({"text_field", "JSONL field with a document's text"}, text_field);
  v.field({"prompt_field", "JSONL field with the prompt"}, prompt_field);
  v.field({"completion_field", "JSONL field with the completion"}, completion_field);
  v.field({"chosen_field", "JSONL field with the better completion"}, chosen_field);
  v.field({"rejected_field", "JSONL field with the worse completion"}, rejected_field);
  v.field({"margin_field", "JSONL field with the number by which chosen is better; empty for none"},
          margin_field);
  v.field({"label_field",
           "JSONL field with a text's label: a name or number, a list of them, or for regression a "
           "number"},
          label_field);
  v.field({"anchor_field", "JSONL field with a text that is to be close to its positive"},
          anchor_field);
  v.field({"positive_field", "JSONL field with the text that belongs to the anchor"},
          positive_field);
  v.field(
      {"negative_field",
       "JSONL field with a text that seems to belong to the anchor and does not; empty for none"},
      negative_field);
  v.field({"validation_fraction", "part of the records held out from training, in [0, 1)"},
          validation_fraction);
  v.field({"max_records", "use the first records only; 0 for all"}, max_records);
}

DataFormat DataConfig::resolved_format() const {
  if (format != DataFormat::kAuto) return format;
  const std::string extension = std::filesystem::path(path).extension().string();
  return extension == ".jsonl" || extension == ".ndjson" ? DataFormat::kJsonl : DataFormat::kText;
}

void validate(const DataConfig& config) {
  if (config.path.empty()) throw_error("path of the data is empty; set it to a text or JSONL file");
  if (!(config.validation_fraction >= 0.0 && config.validation_fraction < 1.0))
    throw_error("{}: validation_fraction is {}; it must be at least 0 and below 1", config.path,
                config.validation_fraction);
  if (config.max_records < 0)
    throw_error("{}: max_records is {}; use 0 for all records", config.path, config.max_records);
}

}  // namespace tandem::data
