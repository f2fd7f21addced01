// Reads a data file record by record: a document of a text file, or a line of a JSONL file. The
// file is mapped, not loaded; a record's text is valid until the next call.
//
// Errors are one line with file, line and remedy: a missing file, bytes that are not UTF-8,
// malformed JSON, a missing field, a field of the wrong type, no records at all.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "data/config.h"

namespace tandem::data {

// One field that the caller wants of every record.
struct FieldRequest {
  std::string name;        // in the record
  std::string config_key;  // the recipe key that names it, for errors ("prompt_field")
  enum class Type { kString, kNumber, kJson } type = Type::kString;
};

struct FieldValue {
  std::string_view text;  // of kString; of kJson: any value, as JSON
  double number = 0.0;    // of kNumber
};

struct Record {
  std::vector<FieldValue> fields;  // in the order of the requests
  std::int64_t index = 0;          // 0, 1, … in the file
  std::int64_t line = 0;           // of its first character, from 1
};

class RecordReader {
 public:
  virtual ~RecordReader() = default;
  // False after the last record. Throws Error as above.
  virtual bool next(Record& record) = 0;
  // Bytes of the file read so far and in all.
  virtual std::int64_t bytes_done() const = 0;
  virtual std::int64_t bytes_total() const = 0;
};

// A text file has the one field `text_field`; asking it for others is an Error that says to use
// JSONL. The first max_records records, if that is not 0. A file without records is an Error at the
// first next().
std::unique_ptr<RecordReader> open_records(const DataConfig& config,
                                           std::vector<FieldRequest> fields);

// Requests for config.text_field, ….
FieldRequest text_request(const DataConfig& config);
FieldRequest prompt_request(const DataConfig& config);
FieldRequest completion_request(const DataConfig& config);
FieldRequest chosen_request(const DataConfig& config);
FieldRequest rejected_request(const DataConfig& config);
FieldRequest margin_request(const DataConfig& config);
FieldRequest label_request(const DataConfig& config);
FieldRequest anchor_request(const DataConfig& config);
FieldRequest positive_request(const DataConfig& config);
FieldRequest negative_request(const DataConfig& config);

}  // namespace tandem::data
