#include "data/config.h"

#include <cmath>
#include <filesystem>

#include "data/readers/data_files.h"
#include "runtime/base/error.h"

namespace tandem::data {

using runtime::throw_error;

void DataConfig::visit_fields(runtime::FieldVisitor& v) {
  visit_keys(v, true);
}

void DataConfig::visit_keys(runtime::FieldVisitor& v, bool path_required) {
  v.field({.name = "path",
           .help = "the data: a file, a folder, or a pattern such as data/shards/*.jsonl",
           .required = path_required},
          path);
  v.choice({"format",
            "form of the files; auto goes by their names: .jsonl and .ndjson (also with .gz or "
            ".zst after "
            "it) are JSONL, .parquet is Parquet, all else is text"},
           format, {"auto", "text", "jsonl", "parquet"});
  v.choice(
      {"documents",
       "what one document of a text file is: a line, what stands between blank lines, or the file"},
      documents, {"line", "blank_line", "file"});
  v.field({"text_field", "field with a document's text"}, text_field);
  v.field({"prompt_field", "field with the prompt"}, prompt_field);
  v.field({"completion_field", "field with the completion"}, completion_field);
  v.field({"chosen_field", "field with the better completion"}, chosen_field);
  v.field({"rejected_field", "field with the worse completion"}, rejected_field);
  v.field({"messages_field",
           "field with a conversation: a list of {role, content}, which the chat template of the "
           "model makes a text"},
          messages_field);
  v.field({"margin_field", "field with the number by which chosen is better; empty for none"},
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
  v.choice({"on_bad_record",
            "what a record leads to that cannot be used: the run stops, or the record is left out, "
            "logged and counted"},
           on_bad_record, {"stop", "skip"});
}

void WeightedData::visit_fields(runtime::FieldVisitor& v) {
  DataConfig::visit_fields(v);
  v.field({"weight", "share of the samples, relative to the other sources' weights"}, weight);
}

void BlendConfig::visit_fields(runtime::FieldVisitor& v) {
  visit_keys(v, false);
  v.list(
      {"sources",
       "several data sets instead of `path`, mixed by weight; each has the keys of a data section "
       "and `weight`"},
      sources);
}

DataFormat DataConfig::format_of(const std::string& file) const {
  if (format != DataFormat::kAuto) return format;
  std::filesystem::path name(file);
  if (compression_of(file) != Compression::kNone) name = name.stem();
  const std::string extension = name.extension().string();
  if (extension == ".parquet") return DataFormat::kParquet;
  return extension == ".jsonl" || extension == ".ndjson" ? DataFormat::kJsonl : DataFormat::kText;
}

void validate(const DataConfig& config) {
  if (config.path.empty())
    throw_error("path of the data is empty; set it to a text, JSONL or Parquet file");
  if (!(config.validation_fraction >= 0.0 && config.validation_fraction < 1.0))
    throw_error("{}: validation_fraction is {}; it must be at least 0 and below 1", config.path,
                config.validation_fraction);
  if (config.max_records < 0)
    throw_error("{}: max_records is {}; use 0 for all records", config.path, config.max_records);
}

void validate(const BlendConfig& config) {
  if (config.sources.empty()) {
    validate(static_cast<const DataConfig&>(config));
    return;
  }
  if (!config.path.empty())
    throw_error("{}: 'path' and 'sources' are both given; make the path one of the sources",
                config.path);
  for (const WeightedData& source : config.sources) {
    validate(static_cast<const DataConfig&>(source));
    if (!(source.weight > 0.0 && std::isfinite(source.weight)))
      throw_error("{}: weight is {}; it must be positive, or leave the source out", source.path,
                  source.weight);
  }
}

}  // namespace tandem::data
