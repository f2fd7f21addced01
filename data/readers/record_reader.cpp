#include "data/readers/record_reader.h"

#include <filesystem>
#include <optional>

#include "data/readers/data_files.h"
#include "data/readers/mapped_text.h"
#include "data/readers/record_file.h"
#include "runtime/base/log.h"

namespace tandem::data {

using runtime::throw_error;

namespace {

// Of those that are skipped, so many are logged one by one.
constexpr std::int64_t kShownProblems = 10;

std::unique_ptr<RecordFile> open_file(const DataConfig& config, const std::string& file,
                                      const std::vector<FieldRequest>& fields) {
  switch (config.format_of(file)) {
    case DataFormat::kText:
      return open_text(file, config.documents, fields);
    case DataFormat::kParquet:
      return open_parquet(file, fields);
    case DataFormat::kJsonl:
    case DataFormat::kAuto:
      break;
  }
  return open_jsonl(file, fields);
}

// Files one after the other, as one.
class FilesReader final : public RecordReader {
 public:
  FilesReader(const DataConfig& config, std::vector<FieldRequest> fields)
      : config_(config), files_(data_files(config)), fields_(std::move(fields)) {
    for (const std::string& file : files_) bytes_total_ += bytes_of(file);
    // At once: what is wrong with it is said before any work is done.
    file_ = open_file(config_, files_[0], fields_);
  }

  bool next(Record& record) override {
    if (config_.max_records > 0 && records_ == config_.max_records) return false;
    while (file_ != nullptr) {
      try {
        if (file_->read(record)) {
          record.index = records_++;
          return true;
        }
        open_next();
      } catch (const BadRecord& problem) {
        reject(problem);
      }
    }
    if (records_ == 0) throw_no_records();
    return false;
  }

  std::int64_t bytes_done() const override {
    return bytes_before_ + (file_ != nullptr ? file_->bytes_done() : 0);
  }
  std::int64_t bytes_total() const override { return bytes_total_; }

  void reject(const BadRecord& problem) override {
    if (config_.on_bad_record == BadRecordRule::kStop) throw problem;
    if (++skipped_ <= kShownProblems) runtime::log_warning("skipped: {}", problem.what());
    if (skipped_ == kShownProblems)
      runtime::log_warning("{}: further bad records are counted only", config_.path);
  }
  std::int64_t skipped() const override { return skipped_; }

 private:
  static std::int64_t bytes_of(const std::string& file) {
    return static_cast<std::int64_t>(std::filesystem::file_size(file));
  }

  void open_next() {
    bytes_before_ += bytes_of(files_[at_]);
    ++at_;
    file_ = at_ < files_.size() ? open_file(config_, files_[at_], fields_) : nullptr;
  }

  [[noreturn]] void throw_no_records() const {
    if (skipped_ > 0)
      throw_error("{}: no record of it can be used: all {} are bad; see the first ones above",
                  config_.path, skipped_);
    const bool empty = bytes_total_ <= static_cast<std::int64_t>(kByteOrderMark.size());
    throw_error("{}: no documents in it: the {} {}; give it at least one", config_.path,
                files_.size() == 1 ? "file is" : "files are", empty ? "empty" : "blank");
  }

  DataConfig config_;
  std::vector<std::string> files_;
  std::vector<FieldRequest> fields_;
  std::size_t at_ = 0;
  std::unique_ptr<RecordFile> file_;  // null after the last
  std::int64_t bytes_before_ = 0;
  std::int64_t bytes_total_ = 0;
  std::int64_t records_ = 0;
  std::int64_t skipped_ = 0;
};

}  // namespace

std::unique_ptr<RecordReader> open_records(const DataConfig& config,
                                           std::vector<FieldRequest> fields) {
  validate(config);
  return std::make_unique<FilesReader>(config, std::move(fields));
}

FieldRequest text_request(const DataConfig& config) {
  return {config.text_field, "text_field"};
}
FieldRequest prompt_request(const DataConfig& config) {
  return {config.prompt_field, "prompt_field"};
}
FieldRequest completion_request(const DataConfig& config) {
  return {config.completion_field, "completion_field"};
}
FieldRequest chosen_request(const DataConfig& config) {
  return {config.chosen_field, "chosen_field"};
}
FieldRequest rejected_request(const DataConfig& config) {
  return {config.rejected_field, "rejected_field"};
}
FieldRequest messages_request(const DataConfig& config) {
  return {config.messages_field, "messages_field"};
}
FieldRequest margin_request(const DataConfig& config) {
  return {config.margin_field, "margin_field", FieldRequest::Type::kNumber};
}

FieldRequest label_request(const DataConfig& config) {
  return {config.label_field, "label_field"};
}
FieldRequest anchor_request(const DataConfig& config) {
  return {config.anchor_field, "anchor_field"};
}
FieldRequest positive_request(const DataConfig& config) {
  return {config.positive_field, "positive_field"};
}
FieldRequest negative_request(const DataConfig& config) {
  return {config.negative_field, "negative_field"};
}

}  // namespace tandem::data
