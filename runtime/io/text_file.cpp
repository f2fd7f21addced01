#include "runtime/io/text_file.h"

#include "runtime/io/mapped_file.h"

namespace tandem::runtime {

std::string read_text_file(const std::filesystem::path& path) {
  const MappedFile file(path);
  return {reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size()};
}

}  // namespace tandem::runtime
