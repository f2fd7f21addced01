// Parquet through Apache Arrow: some rows at a time, each as the JSON object that a line of JSONL
// would hold. The only place beside arrow_json that knows Arrow.
#include <arrow/api.h>
#include <arrow/io/file.h>
#include <parquet/arrow/reader.h>

#include <nlohmann/json.hpp>

#include "data/parquet/arrow_json.h"
#include "data/readers/record_fields.h"
#include "data/readers/record_file.h"

namespace tandem::data {

using nlohmann::ordered_json;

namespace {

constexpr std::int64_t kRowsAtOnce = 1024;

class ParquetFile final : public RecordFile {
 public:
  ParquetFile(const std::string& path, std::vector<FieldRequest> fields)
      : path_(path), requests_(std::move(fields)) {
    file_ = value_of(arrow::io::ReadableFile::Open(path));
    parquet::ArrowReaderProperties properties;
    properties.set_batch_size(kRowsAtOnce);
    properties.set_use_threads(false);
    parquet::arrow::FileReaderBuilder builder;
    require(builder.Open(file_));
    builder.properties(properties);
    reader_ = value_of(builder.Build());
    rows_ = reader_->parquet_reader()->metadata()->num_rows();
    bytes_ = value_of(file_->GetSize());
    batches_ = value_of(reader_->GetRecordBatchReader());
  }

  bool read(Record& record) override {
    while (batch_ == nullptr || row_ == batch_->num_rows()) {
      require(batches_->ReadNext(&batch_));
      if (batch_ == nullptr) return false;
      row_ = 0;
    }
    ++done_;
    record.line = done_;
    record.place = fmt::format("{}: row {}", path_, done_);
    record.object = &object_;
    make_object(row_++, record.place);
    read_fields(object_, requests_, record.place, record.fields);
    return true;
  }

  std::int64_t bytes_done() const override { return rows_ == 0 ? bytes_ : bytes_ / rows_ * done_; }

 private:
  // Without what is null, as a JSON writer would leave it out.
  void make_object(std::int64_t row, const std::string& place) {
    object_ = ordered_json::object();
    for (int i = 0; i < batch_->num_columns(); ++i) {
      try {
        ordered_json value = to_json(*batch_->column(i), row);
        if (!value.is_null()) object_[batch_->column_name(i)] = std::move(value);
      } catch (const BadRecord& problem) {
        throw_bad_record("{}: column '{}': {}", place, batch_->column_name(i), problem.what());
      }
    }
  }

  void require(const arrow::Status& status) const {
    if (!status.ok())
      runtime::throw_error("{}: not a Parquet file that can be read: {}", path_,
                           in_one_line(status));
  }
  template <typename T>
  T value_of(arrow::Result<T> result) const {
    require(result.status());
    return std::move(result).ValueUnsafe();
  }
  static std::string in_one_line(const arrow::Status& status) {
    return status.message().substr(0, status.message().find('\n'));
  }

  std::string path_;
  std::vector<FieldRequest> requests_;
  std::shared_ptr<arrow::io::ReadableFile> file_;
  std::unique_ptr<parquet::arrow::FileReader> reader_;
  std::shared_ptr<arrow::RecordBatchReader> batches_;
  std::shared_ptr<arrow::RecordBatch> batch_;
  std::int64_t row_ = 0;   // next, of the batch
  std::int64_t done_ = 0;  // rows of the file
  std::int64_t rows_ = 0;
  std::int64_t bytes_ = 0;
  ordered_json object_;
};

}  // namespace

std::unique_ptr<RecordFile> open_parquet(const std::string& path,
                                         std::vector<FieldRequest> fields) {
  return std::make_unique<ParquetFile>(path, std::move(fields));
}

}  // namespace tandem::data
