#include "data/source_description.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstddef>
#include <span>
#include <string_view>

#include "data/readers/data_files.h"
#include "runtime/base/error.h"
#include "runtime/base/random.h"
#include "runtime/io/file_descriptor.h"
#include "runtime/io/mapped_file.h"

namespace tandem::data {
namespace {

constexpr int kSamples = 64;
constexpr std::size_t kSampleBytes = 16384;

// Hash over parts spread evenly over the file, its ends included: cheap for a file of any size.
std::uint64_t sample_content(std::span<const std::byte> bytes) {
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  if (text.size() <= kSamples * kSampleBytes) return runtime::stable_hash(text);
  std::uint64_t hash = 0;
  const std::size_t last = text.size() - kSampleBytes;
  for (int i = 0; i < kSamples; ++i)
    hash = runtime::stable_hash(text.substr(last / (kSamples - 1) * i, kSampleBytes), hash);
  return hash;
}

std::string describe_file(const std::string& path) {
  const runtime::MappedFile file(path);
  struct stat info {};
  if (::stat(path.c_str(), &info) != 0) runtime::throw_file_error("inspect", path, errno);
  return fmt::format("size {} changed {}.{:09} content {:016x}", info.st_size, info.st_mtim.tv_sec,
                     info.st_mtim.tv_nsec, sample_content(file.bytes()));
}

}  // namespace

std::string describe_source(const DataConfig& config) {
  std::string text;
  for (const std::string& file : data_files(config))
    text += fmt::format("{}{} format {}", text.empty() ? "" : " ", describe_file(file),
                        static_cast<int>(config.format_of(file)));
  return text;
}

}  // namespace tandem::data
