#include "launcher/stages/stage_record.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <nlohmann/json.hpp>

#include "launcher/recipe/writer.h"
#include "runtime/base/error.h"
#include "runtime/io/atomic_file.h"
#include "runtime/io/json_text.h"
#include "runtime/io/text_file.h"

namespace tandem::launcher {

namespace fs = std::filesystem;
using nlohmann::json;

namespace {
constexpr const char* kRecordFile = "done.json";
constexpr const char* kSettingsFile = "settings.txt";
}  // namespace

std::optional<StageRecord> read_record(const fs::path& stage_folder) {
  const fs::path path = stage_folder / kRecordFile;
  if (!fs::exists(path)) return std::nullopt;
  try {
    const json object = runtime::parse_json(runtime::read_text_file(path));
    StageRecord record{.result = object.at("result"), .figures = {}};
    for (const auto& figure : object.at("figures"))
      record.figures.emplace_back(figure.at(0), figure.at(1));
    return record;
  } catch (const json::exception& error) {
    runtime::throw_error(
        "{}: damaged ({}); delete it to run the stage again from its last checkpoint",
        path.string(), error.what());
  }
}

void write_record(const fs::path& stage_folder, const StageRecord& record) {
  json figures = json::array();
  for (const auto& [name, value] : record.figures) figures.push_back({name, value});
  const json object = {{"result", record.result}, {"figures", figures}};
  runtime::write_file_atomically(stage_folder / kRecordFile, runtime::json_text(object, 1) + "\n");
}

void claim_settings(const fs::path& stage_folder, const std::string& settings) {
  const fs::path path = stage_folder / kSettingsFile;
  if (!fs::exists(path)) {
    runtime::write_file_atomically(path, settings);
    return;
  }
  const auto changes = changed_settings(runtime::read_text_file(path), settings);
  if (changes.empty()) return;
  runtime::throw_error(
      "{}: this stage was begun with other settings ({}); delete {} to run it anew, name another "
      "run_dir, or delete {} to go on with the new ones",
      stage_folder.string(), fmt::join(changes, ", "), stage_folder.string(), path.string());
}

}  // namespace tandem::launcher
