// A TensorBoard event file: scalars and text of one stage, readable by `tensorboard --logdir` while
// the run goes on.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string_view>

#include "runtime/io/file_descriptor.h"

namespace tandem::runtime {

class EventFile {
 public:
  // Creates a new events.out.tfevents.… in `folder` (made when missing). A run that goes on from a
  // checkpoint passes the step it starts at: TensorBoard then drops what earlier files of the
  // folder say about that step and later.
  explicit EventFile(const std::filesystem::path& folder, std::int64_t first_step = 0);

  void scalar(std::string_view tag, std::int64_t step, double value);
  // Shown under "Text", as Markdown.
  void text(std::string_view tag, std::int64_t step, std::string_view markdown);

  const std::filesystem::path& path() const { return path_; }

 private:
  void append(const class ProtoWriter& event);

  std::filesystem::path path_;
  FileDescriptor fd_;
};

}  // namespace tandem::runtime
