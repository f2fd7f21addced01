#include "launcher/recipe/data_checks.h"

#include <fmt/format.h>

#include <filesystem>

#include "data/readers/data_files.h"
#include "runtime/base/error.h"

namespace tandem::launcher {

namespace fs = std::filesystem;
using Complain = std::function<void(const std::string& sentence)>;

namespace {

// False, and a complaint, when `check` throws.
template <typename Check>
bool holds(const Check& check, const Complain& complain) {
  try {
    check();
    return true;
  } catch (const runtime::Error& error) {
    complain(error.what());
    return false;
  }
}

// Several files, by a folder or a pattern.
bool names_several(const std::string& path) {
  std::error_code ignored;
  return fs::is_directory(path, ignored) || path.find_first_of("*?[") != std::string::npos;
}

}  // namespace

void check_file(const std::string& file, const Complain& complain) {
  std::error_code ignored;
  if (fs::is_regular_file(file, ignored)) return;
  const bool demo = file.starts_with("data/demo/");
  complain(fmt::format(
      "no such file: {}{}", file,
      demo ? "; tools/demo_data/fetch.sh makes the demo's data (./run.sh does so by itself)"
           : fmt::format("; paths start from {}", fs::current_path(ignored).string())));
}

void check_data(const data::DataConfig& config, const Complain& complain) {
  if (!holds([&] { data::validate(config); }, complain)) return;
  if (names_several(config.path))
    holds([&] { data::data_files(config); }, complain);
  else
    check_file(config.path, complain);
}

void check_blend(
    const data::BlendConfig& config,
    const std::function<void(const std::string& key, const std::string& sentence)>& complain) {
  const auto at = [&](std::string key) {
    return [&complain, key](const std::string& sentence) { complain(key, sentence); };
  };
  if (config.sources.empty()) {
    check_data(config, at(""));
    return;
  }
  if (!holds([&] { data::validate(config); }, at(""))) return;
  for (std::size_t i = 0; i < config.sources.size(); ++i)
    check_data(config.sources[i], at(fmt::format("sources.{}", i)));
}

}  // namespace tandem::launcher
