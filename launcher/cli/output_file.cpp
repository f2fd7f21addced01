#include "launcher/cli/output_file.h"

#include <filesystem>

#include "runtime/base/error.h"

namespace tandem::launcher {

namespace fs = std::filesystem;

void require_place_for(const std::string& output) {
  if (output.empty()) return;
  const fs::path folder = fs::absolute(output).parent_path();
  if (!fs::is_directory(folder))
    runtime::throw_error("--output {}: there is no folder {}; make it first", output,
                         folder.string());
  if (fs::is_directory(output))
    runtime::throw_error("--output {} is a folder; name a file", output);
}

}  // namespace tandem::launcher
