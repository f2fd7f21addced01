#include "launcher/cli/generation_settings.h"

#include <fmt/ranges.h>

#include <algorithm>

#include "runtime/base/error.h"

namespace tandem::launcher {

namespace {

constexpr std::int64_t kMaxNewTokens = 64;
constexpr double kTemperature = 0.7;

template <typename T>
T first_of(const std::optional<T>& command, const std::optional<T>& config, T fallback) {
  return command.value_or(config.value_or(fallback));
}

// Lengths of generation_config.json that count what the decoder starts from, which is one token of
// an encoder-decoder; a decoder's prompts have different lengths.
struct Lengths {
  std::optional<std::int64_t> longest, shortest;
};

Lengths lengths_in(const models::GenerationConfig& config, models::ModelKind kind,
                   std::vector<std::string>& passed_over) {
  Lengths lengths{.longest = config.max_new_tokens, .shortest = config.processing.min_new_tokens};
  if (kind != models::ModelKind::kEncoderDecoder) {
    if (config.max_length && !config.max_new_tokens) passed_over.emplace_back("max_length");
    if (config.min_length.value_or(0) > 0) passed_over.emplace_back("min_length");
    return lengths;
  }
  if (!lengths.longest && config.max_length)
    lengths.longest = std::max<std::int64_t>(1, *config.max_length - 1);
  lengths.shortest = std::max(*lengths.shortest, config.min_length.value_or(1) - 1);
  return lengths;
}

bool wants_samples(const GenerateCommand& command) {
  return command.temperature.value_or(0) > 0 || command.top_k.value_or(0) > 0 ||
         command.top_p.value_or(1) < 1;
}

// Beams that the command line asks for come without samples; else samples that it asks for come
// without beams.
std::int64_t beams_for(const GenerateCommand& command, const models::GenerationConfig& config) {
  if (command.num_beams.value_or(1) > 1 && wants_samples(command))
    runtime::throw_error(
        "--num-beams {} searches and does not sample: leave --temperature, --top-k and --top-p out",
        *command.num_beams);
  if (!command.num_beams && wants_samples(command)) return 1;
  return first_of(command.num_beams, config.num_beams, std::int64_t{1});
}

double temperature_for(const GenerateCommand& command, const models::GenerationConfig& config) {
  if (command.temperature) return *command.temperature;
  if (!config.do_sample) return config.temperature.value_or(kTemperature);
  return *config.do_sample ? config.temperature.value_or(1.0) : 0.0;
}

models::LogitsProcessing processing_for(const GenerateCommand& command,
                                        const models::GenerationConfig& config,
                                        std::int64_t min_new_tokens) {
  models::LogitsProcessing processing = config.processing;
  processing.min_new_tokens = command.min_new_tokens.value_or(min_new_tokens);
  if (command.repetition_penalty)
    processing.repetition_penalty = static_cast<float>(*command.repetition_penalty);
  if (command.no_repeat_ngram_size) processing.no_repeat_ngram_size = *command.no_repeat_ngram_size;
  return processing;
}

// A default of generation_config.json may ask for more texts than there are beams; a person may
// not.
void require_texts(const GenerateCommand& command, GenerationSettings& settings) {
  const std::int64_t beams = settings.beams.num_beams;
  if (beams == 1 || settings.texts_per_prompt <= beams) return;
  if (command.num_samples)
    runtime::throw_error("--num-samples {} asks for more texts than --num-beams {} finds",
                         *command.num_samples, beams);
  settings.texts_per_prompt = beams;
}

}  // namespace

GenerationSettings generation_settings(const GenerateCommand& command,
                                       const models::GenerationConfig& config,
                                       models::ModelKind kind, std::int32_t eos) {
  GenerationSettings settings;
  std::vector<std::string> passed_over = config.passed_over;
  const Lengths lengths = lengths_in(config, kind, passed_over);
  settings.beams = {.num_beams = beams_for(command, config),
                    .length_penalty = static_cast<float>(
                        first_of(command.length_penalty, config.length_penalty, 1.0)),
                    .early_stopping = first_of(command.early_stopping, config.early_stopping,
                                               models::EarlyStopping::kHeuristic)};
  if (settings.beams.num_beams > 1 && config.do_sample.value_or(false))
    passed_over.emplace_back("do_sample");
  settings.options = {
      .max_new_tokens = first_of(command.max_new_tokens, lengths.longest, kMaxNewTokens),
      .sampling = {.temperature = static_cast<float>(temperature_for(command, config)),
                   .top_k = first_of(command.top_k, config.top_k, std::int64_t{0}),
                   .top_p = static_cast<float>(first_of(command.top_p, config.top_p, 1.0))},
      .eos_token_id = eos,
      .more_eos_token_ids = config.eos_token_ids,
      .processing = processing_for(command, config, *lengths.shortest),
      .seed = static_cast<std::uint64_t>(command.seed),
      .batch_size = command.batch_size,
      .use_cache = !command.no_cache};
  std::erase(settings.options.more_eos_token_ids, eos);
  settings.texts_per_prompt =
      first_of(command.num_samples, config.num_return_sequences, std::int64_t{1});
  require_texts(command, settings);
  settings.stop_strings = command.stop_strings.empty() ? config.stop_strings : command.stop_strings;
  if (!passed_over.empty())
    settings.notes.push_back(fmt::format("generation_config.json: {} {} not followed",
                                         fmt::join(passed_over, ", "),
                                         passed_over.size() == 1 ? "is" : "are"));
  return settings;
}

}  // namespace tandem::launcher
