// What can be typed: `trainer [--ranks N] RECIPE [key=value …]` and the verbs beside it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "models/embedding/pooling.h"
#include "models/generation/beams.h"
#include "runtime/base/dtype.h"

namespace tandem::launcher {

struct RunCommand {
  std::string recipe;
  std::vector<std::string> overrides;
};

struct ValidateCommand {
  std::string recipe;
  std::vector<std::string> overrides;
  std::optional<std::int64_t> ranks;  // none: what depends on the number of ranks is not checked
  bool print = false;                 // the resolved recipe
};

struct GenerateCommand {
  std::string model;
  std::vector<std::string> prompts;
  std::string input;   // JSONL, instead of prompts
  std::string output;  // JSONL; empty: standard output
  // What is empty follows from the model's generation_config.json, or else is as
  // generation_settings.h says.
  std::optional<std::int64_t> max_new_tokens, min_new_tokens, num_samples;
  std::optional<double> temperature, top_p, repetition_penalty;
  std::optional<std::int64_t> top_k, no_repeat_ngram_size;
  std::optional<std::int64_t> num_beams;
  std::optional<double> length_penalty;
  std::optional<models::EarlyStopping> early_stopping;
  std::vector<std::string> stop_strings;
  std::int64_t batch_size = 64;
  bool no_cache = false;
  std::int64_t seed = 0;
  runtime::DType precision = runtime::DType::kBF16;
  std::string device = "auto";
  std::string chat_template = "{prompt}{completion}";
  bool chat = false;   // the model's own template instead, each prompt a user's message
  std::string system;  // with `chat`: the message before it; empty for none
};

struct EmbedCommand {
  std::string model;
  std::string input;                 // text, one a line, or JSONL
  std::string text_field = "text";   // of JSONL
  std::string output;                // .safetensors or .jsonl; empty: none
  std::vector<std::string> queries;  // whose closest texts are printed
  std::int64_t top = 5;
  std::optional<models::Pooling> pooling;  // none: the model's own, and so below
  std::optional<bool> normalize;
  std::int64_t max_length = 0;
  std::int64_t batch_size = 32;
  runtime::DType precision = runtime::DType::kF32;
  std::string device = "auto";
};

struct ExportCommand {
  std::string model;
  std::string output;
  runtime::DType dtype = runtime::DType::kBF16;
};

struct InspectCommand {
  std::string model;
};

struct ConvertCommand {
  std::string from;
  std::string to;
  std::optional<runtime::DType> dtype;  // none: as stored, and fp32 for what is quantized
  std::int64_t shard_bytes = 5'000'000'000;
};

struct TokenizeCommand {
  std::string model;
  std::vector<std::string> texts;  // none: the lines of standard input
  bool decode = false;             // the texts are ids
  bool special_tokens = false;     // with what the tokenizer's template puts around a text
  bool json = false;
};

// What a recipe needs, without running it.
struct PlanCommand {
  std::string recipe;
  std::vector<std::string> overrides;
  std::optional<std::int64_t> ranks;  // none: as many as were started
  double memory_gb = 0;               // of each rank; 0: nothing is refused
  std::string plot;                   // an SVG file; empty: none
  std::string device;                 // whose times to predict (device_model.h); empty: none
  std::string save_device;            // a file for what was measured; empty: none
  bool search = false;                // the fastest layouts instead
  std::string stage;                  // whose; empty: all stages
};

// Writes docs/recipes.md.
struct DocsCommand {
  std::string output;
};

using Command =
    std::variant<RunCommand, ValidateCommand, PlanCommand, GenerateCommand, EmbedCommand,
                 ExportCommand, InspectCommand, ConvertCommand, TokenizeCommand, DocsCommand>;

struct CommandLine {
  Command command;
  std::optional<int> ranks;  // to start here; none: those that a launcher has started, or one
};

// The command line, or the exit code where the command line ends the program by itself: --help,
// --version (0), a mistake (2, with one line on standard error). Prints nothing unless `speaks`:
// one rank of many does.
std::variant<CommandLine, int> parse_command_line(int argc, const char* const* argv, bool speaks);

}  // namespace tandem::launcher
