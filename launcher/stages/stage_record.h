// What a finished stage leaves in its folder: `done.json`, with the checkpoint it ended with and
// its figures for the summary; and `settings.txt`, written when it starts, with all that its result
// depends on.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace tandem::launcher {

// A stage's outcome. `result` is the folder that later stages start from, relative to the stage's;
// empty for none.
struct StageRecord {
  std::string result;
  std::vector<std::pair<std::string, double>> figures;  // "steps", "tokens", "seconds", …
};

// None where the stage has not finished. Throws Error for a damaged file.
std::optional<StageRecord> read_record(const std::filesystem::path& stage_folder);
void write_record(const std::filesystem::path& stage_folder, const StageRecord& record);

// Notes what a stage is about to be run with, or, where it was begun before, throws Error naming
// what has changed since.
void claim_settings(const std::filesystem::path& stage_folder, const std::string& settings);

}  // namespace tandem::launcher
