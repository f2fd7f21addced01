// One file of records, as the reader of all files sees it.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "data/readers/record_reader.h"

namespace tandem::data {

class RecordFile {
 public:
  virtual ~RecordFile() = default;
  // Fills all of `record` but its index; false at the end. Throws BadRecord for a record after
  // which the next can be read.
  virtual bool read(Record& record) = 0;
  virtual std::int64_t bytes_done() const = 0;
};

std::unique_ptr<RecordFile> open_text(const std::string& path, DocumentRule documents,
                                      const std::vector<FieldRequest>& fields);
std::unique_ptr<RecordFile> open_jsonl(const std::string& path, std::vector<FieldRequest> fields);
// In a program built without Parquet: throws Error that says how to build it with
// (data/no_parquet).
std::unique_ptr<RecordFile> open_parquet(const std::string& path, std::vector<FieldRequest> fields);

}  // namespace tandem::data
