// Reads data record by record: documents of text files, lines of JSONL files (also compressed),
// rows of Parquet files. `path` may name one file, a folder or a pattern ("data/shards/*.jsonl"),
// whose files are read in the order of their names, as if they were one. Of a file, a record (of
// Parquet: a batch of rows) is in memory; a record's text is valid until the next call.
//
// Errors are one line with file, line and remedy: a missing file, bytes that are not UTF-8,
// malformed JSON, a missing field, a field of the wrong type, no records at all. With
// on_bad_record: skip those that concern one record are logged and counted instead.
#pragma once

#include <cstdint>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "data/config.h"
#include "runtime/base/error.h"

namespace tandem::data {

// One field that the caller wants of every record.
struct FieldRequest {
  std::string name;        // in the record
  std::string config_key;  // the recipe key that names it, for errors ("prompt_field")
  enum class Type { kString, kNumber } type = Type::kString;
};

struct FieldValue {
  std::string_view text;  // of kString
  double number = 0.0;    // of kNumber
};

struct Record {
  std::vector<FieldValue> fields;  // in the order of the requests
  std::int64_t index = 0;          // 0, 1, … over all files
  std::int64_t line = 0;           // of its first character, from 1; of Parquet its row, from 1
  std::string place = {};          // for errors: "my.jsonl:17", "my.parquet: row 17"
  // The whole record, of formats that have fields; null for text.
  const nlohmann::ordered_json* object = nullptr;
};

// What is wrong with one record; the records after it can be read.
class BadRecord : public runtime::Error {
 public:
  using Error::Error;
};

// throw_bad_record("{}: the record is empty; remove the line", record.place)
template <typename... Args>
[[noreturn]] void throw_bad_record(fmt::format_string<Args...> format, Args&&... args) {
  throw BadRecord(fmt::format(format, std::forward<Args>(args)...));
}

class RecordReader {
 public:
  virtual ~RecordReader() = default;
  // False after the last record. Throws Error as above.
  virtual bool next(Record& record) = 0;
  // Bytes of the files read so far and in all, as they lie on the disk.
  virtual std::int64_t bytes_done() const = 0;
  virtual std::int64_t bytes_total() const = 0;

  // For what a caller finds wrong with a record: throws it, or logs and counts it where bad records
  // are skipped.
  virtual void reject(const BadRecord& problem) = 0;
  // Bad records so far.
  virtual std::int64_t skipped() const = 0;
};

// Text has the one field `text_field`; asking it for others is an Error that says to use JSONL.
// Without requests a record is its `object`, or for text the document as its one field. The first
// max_records records, if that is not 0. No records in all files are an Error at the first next().
std::unique_ptr<RecordReader> open_records(const DataConfig& config,
                                           std::vector<FieldRequest> fields);

// Requests for config.text_field, ….
FieldRequest text_request(const DataConfig& config);
FieldRequest prompt_request(const DataConfig& config);
FieldRequest completion_request(const DataConfig& config);
FieldRequest chosen_request(const DataConfig& config);
FieldRequest rejected_request(const DataConfig& config);
FieldRequest messages_request(const DataConfig& config);
FieldRequest margin_request(const DataConfig& config);
FieldRequest label_request(const DataConfig& config);
FieldRequest anchor_request(const DataConfig& config);
FieldRequest positive_request(const DataConfig& config);
FieldRequest negative_request(const DataConfig& config);

}  // namespace tandem::data
