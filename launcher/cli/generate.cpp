// trainer generate: a model continues texts.
#include <algorithm>
#include <cstdio>
#include <memory>
#include <numeric>

#include "data/tokenizer/stop_strings.h"
#include "launcher/cli/answers.h"
#include "launcher/cli/generation_settings.h"
#include "launcher/cli/output_file.h"
#include "launcher/cli/prompts.h"
#include "launcher/cli/verbs.h"
#include "launcher/stages/model_directory.h"
#include "launcher/stages/training_stage.h"
#include "models/generation/beam_search.h"
#include "models/model_files.h"
#include "parallel/comm/device/choice.h"
#include "parallel/comm/device/device_group.h"
#include "parallel/mesh/mesh.h"
#include "runtime/base/error.h"
#include "runtime/base/log.h"
#include "runtime/io/atomic_file.h"

namespace tandem::launcher {

namespace {

namespace fs = std::filesystem;

bool writes_json(const GenerateCommand& command) {
  return !command.input.empty() || !command.output.empty();
}

std::unique_ptr<models::Model> load(const GenerateCommand& command, const fs::path& folder,
                                    const parallel::Group& world) {
  const runtime::Device device = parallel::choose_device(command.device, "--device", world);
  const parallel::Mesh mesh =
      parallel::make_mesh({.tensor_parallel = world.size()}, parallel::device_group(world, device));
  models::BuildOptions options =
      frozen_options({command.precision}, mesh, models::Head::kLanguageModel);
  options.device = device;
  return load_model(folder, options);
}

void require_room(const std::vector<Prompt>& prompts, const models::Model& model,
                  std::int64_t max_new_tokens) {
  const bool reads_apart = model.kind() == models::ModelKind::kEncoderDecoder;
  for (const Prompt& prompt : prompts) {
    const auto length = static_cast<std::int64_t>(prompt.tokens.size());
    const std::int64_t written = max_new_tokens + (reads_apart ? 1 : length);
    if (std::max(length, written) > model.max_positions())
      runtime::throw_error(
          "{}: a prompt of {} tokens and --max-new-tokens {} exceed the model's {} positions",
          prompt.place, length, max_new_tokens, model.max_positions());
  }
}

// Runs the model over all prompts, as often as texts are wanted.
class Run {
 public:
  Run(models::Model& model, const data::Tokenizer& tokenizer, const std::vector<Prompt>& prompts,
      const GenerationSettings& settings)
      : model_(model),
        tokenizer_(tokenizer),
        prompts_(prompts),
        settings_(settings),
        options_(settings.options) {
    if (!settings_.stop_strings.empty())
      options_.stops = [this](std::size_t, std::span<const std::int32_t> written) {
        return data::find_stop(tokenizer_.decode(written, true), settings_.stop_strings) !=
               std::string::npos;
      };
  }

  bool searches() const { return settings_.beams.num_beams > 1; }

  // One text after the other, those of a prompt together; of many ranks one speaks.
  void print(bool with_prompts, bool speaks) {
    std::vector<std::string> heads;
    for (const Prompt& prompt : prompts_)
      heads.resize(heads.size() + texts(), with_prompts ? prompt.text : std::string());
    TextStream stream(tokenizer_, settings_.stop_strings, std::move(heads));
    const std::vector<std::size_t> all = in_order();
    if (!searches()) {
      sample(all, [&](std::size_t text, std::int32_t token, bool last) {
        if (speaks) stream.add(text, token, last);
      });
      return;
    }
    const auto found = search(all);
    if (!speaks) return;
    for (std::size_t i = 0; i < found.size(); ++i)
      for (std::size_t k = 0; k < texts(); ++k)
        for (std::size_t t = 0; t < found[i][k].tokens.size(); ++t)
          stream.add(i * texts() + k, found[i][k].tokens[t], t + 1 == found[i][k].tokens.size());
  }

  // Lines of JSON in the order of the prompts, which are run in batches of about one length.
  std::string json_lines() {
    std::vector<std::size_t> order = in_order();
    std::ranges::stable_sort(order, std::greater<>(),
                             [&](std::size_t i) { return prompts_[i].tokens.size(); });
    std::vector<std::string> lines(prompts_.size());
    const auto batch = static_cast<std::size_t>(std::max<std::int64_t>(
        1, options_.batch_size /
               std::max<std::int64_t>(settings_.texts_per_prompt, settings_.beams.num_beams)));
    for (std::size_t begin = 0; begin < order.size(); begin += batch)
      run_batch(std::span(order).subspan(begin, std::min(batch, order.size() - begin)), lines);
    return std::accumulate(lines.begin(), lines.end(), std::string());
  }

 private:
  std::size_t texts() const { return static_cast<std::size_t>(settings_.texts_per_prompt); }

  std::vector<std::size_t> in_order() const {
    std::vector<std::size_t> order(prompts_.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    return order;
  }

  // A sample's random numbers follow from its prompt's place among all.
  std::vector<models::Generated> sample(std::span<const std::size_t> which,
                                        const models::OnToken& on_token = {}) {
    std::vector<std::vector<std::int32_t>> tokens;
    std::vector<std::int64_t> ids;
    for (const std::size_t i : which)
      for (std::size_t k = 0; k < texts(); ++k) {
        tokens.push_back(prompts_[i].tokens);
        ids.push_back(static_cast<std::int64_t>(i * texts() + k));
      }
    return models::generate(model_, tokens, ids, options_, on_token);
  }

  std::vector<std::vector<models::BeamText>> search(std::span<const std::size_t> which) {
    std::vector<std::vector<std::int32_t>> tokens;
    for (const std::size_t i : which) tokens.push_back(prompts_[i].tokens);
    return models::beam_search(model_, tokens, options_, settings_.beams);
  }

  Answer answer(std::span<const std::int32_t> tokens, models::Ending ending) const {
    return answer_of(tokenizer_, tokens, ending, settings_.stop_strings);
  }

  void run_batch(std::span<const std::size_t> which, std::vector<std::string>& lines) {
    if (searches()) {
      const auto found = search(which);
      for (std::size_t i = 0; i < which.size(); ++i)
        for (std::size_t k = 0; k < texts(); ++k) {
          const models::BeamText& text = found[i][k];
          lines[which[i]] +=
              json_line(prompts_[which[i]], answer(text.tokens, text.ending), text.score) + "\n";
        }
      return;
    }
    const auto samples = sample(which);
    for (std::size_t i = 0; i < samples.size(); ++i) {
      const std::size_t prompt = which[i / texts()];
      lines[prompt] +=
          json_line(prompts_[prompt], answer(samples[i].tokens, samples[i].ending)) + "\n";
    }
  }

  models::Model& model_;
  const data::Tokenizer& tokenizer_;
  const std::vector<Prompt>& prompts_;
  const GenerationSettings& settings_;
  models::GenerateOptions options_;
};

}  // namespace

void execute(const GenerateCommand& command, const parallel::Group& world) {
  require_place_for(command.output);
  std::vector<Prompt> prompts = read_prompts(command);
  const fs::path folder = find_model(command.model);
  if (head_in(folder) != models::Head::kLanguageModel)
    runtime::throw_error("{}: a model without a language-model head, which gives no text",
                         folder.string());
  const auto tokenizer = data::Tokenizer::load(folder);
  const GenerationSettings settings =
      generation_settings(command, models::read_generation_config(folder),
                          models::read_model_config(folder)->kind(), tokenizer.special_ids().eos);
  encode_prompts(prompts, command, tokenizer, folder.string());
  for (const std::string& note : settings.notes) runtime::log_info("{}", note);
  const auto model = load(command, folder, world);
  require_room(prompts, *model, settings.options.max_new_tokens);
  Run run(*model, tokenizer, prompts, settings);
  const bool speaks = world.rank() == 0;
  if (!writes_json(command)) {
    // An encoder-decoder answers a text rather than continuing it.
    run.print(model->kind() == models::ModelKind::kDecoder && !command.chat, speaks);
    return;
  }
  const std::string lines = run.json_lines();
  if (!speaks) return;
  if (command.output.empty()) {
    std::fputs(lines.c_str(), stdout);
    return;
  }
  runtime::write_file_atomically(command.output, lines);
  std::printf("%s: %zu prompts answered\n", command.output.c_str(), prompts.size());
}

}  // namespace tandem::launcher
