// Stands in for data/parquet in a program built without Apache Arrow's libparquet.
#include "data/readers/record_file.h"

namespace tandem::data {

std::unique_ptr<RecordFile> open_parquet(const std::string& path, std::vector<FieldRequest>) {
  runtime::throw_error(
      "{}: this program was built without Parquet; install it with tools/setup/parquet.sh and "
      "build "
      "again, or make the file JSONL",
      path);
}

}  // namespace tandem::data
