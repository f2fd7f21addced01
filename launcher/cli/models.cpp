// trainer generate, trainer export: what can be done with a model directory.
#include <cstdio>
#include <nlohmann/json.hpp>
#include <numeric>

#include "data/chat_template.h"
#include "data/model_chat_template.h"
#include "data/tokenizer/tokenizer.h"
#include "launcher/cli/verbs.h"
#include "launcher/stages/model_directory.h"
#include "launcher/stages/training_stage.h"
#include "models/generation/generate.h"
#include "parallel/comm/device/choice.h"
#include "parallel/comm/device/device_group.h"
#include "parallel/mesh/mesh.h"
#include "runtime/base/error.h"
#include "train/checkpoint.h"

namespace tandem::launcher {

namespace {

// All ranks hold a part of the model.
parallel::Mesh tensor_parallel_mesh(const parallel::Group& world) {
  return parallel::make_mesh({.tensor_parallel = world.size()}, world);
}

nlohmann::ordered_json messages_of(const GenerateCommand& command, const std::string& prompt) {
  auto messages = nlohmann::ordered_json::array();
  if (!command.system.empty())
    messages.push_back({{"role", "system"}, {"content", command.system}});
  messages.push_back({{"role", "user"}, {"content", prompt}});
  return messages;
}

std::vector<std::vector<data::TokenId>> encode_prompts(const GenerateCommand& command,
                                                       const data::Tokenizer& tokenizer,
                                                       const std::string& model) {
  std::vector<std::vector<data::TokenId>> encoded;
  if (command.chat) {
    const data::ModelChatTemplate chat(tokenizer, model);
    for (const std::string& prompt : command.prompts)
      encoded.push_back(chat.encode_prompt(messages_of(command, prompt)));
  } else {
    const data::ChatTemplate chat(command.chat_template, tokenizer);
    for (const std::string& prompt : command.prompts) encoded.push_back(chat.encode_prompt(prompt));
  }
  return encoded;
}

void print_sample(const std::string& prompt, const std::string& continuation) {
  std::printf("%s%s\n\n", prompt.c_str(), continuation.c_str());
}

}  // namespace

void execute(const GenerateCommand& command, const parallel::Group& world) {
  const std::filesystem::path folder = find_model(command.model);
  if (head_in(folder) != models::Head::kLanguageModel)
    runtime::throw_error("{}: a model without a language-model head, which gives no text",
                         folder.string());
  const auto tokenizer = data::Tokenizer::load(folder);
  const auto encoded = encode_prompts(command, tokenizer, folder.string());
  const runtime::Device device = parallel::choose_device(command.device, "--device", world);
  const parallel::Mesh mesh = tensor_parallel_mesh(parallel::device_group(world, device));
  models::BuildOptions options =
      frozen_options(command.precision, mesh, models::Head::kLanguageModel);
  options.device = device;
  const auto model = load_model(folder, options);
  std::vector<std::vector<std::int32_t>> prompts;
  for (const auto& prompt : encoded)
    prompts.insert(prompts.end(), static_cast<std::size_t>(command.num_samples), prompt);
  std::vector<std::int64_t> ids(prompts.size());
  std::iota(ids.begin(), ids.end(), 0);
  const auto generated =
      models::generate(*model, prompts, ids,
                       {.max_new_tokens = command.max_new_tokens,
                        .sampling = {.temperature = static_cast<float>(command.temperature),
                                     .top_k = command.top_k,
                                     .top_p = static_cast<float>(command.top_p)},
                        .eos_token_id = tokenizer.special_ids().eos,
                        .more_eos_token_ids = data::ending_tokens(folder, tokenizer),
                        .seed = static_cast<std::uint64_t>(command.seed)});
  if (world.rank() != 0) return;
  // An encoder-decoder answers a text rather than continuing it.
  const bool continues = model->kind() == models::ModelKind::kDecoder && !command.chat;
  for (std::size_t i = 0; i < prompts.size(); ++i)
    print_sample(continues ? command.prompts[i / static_cast<std::size_t>(command.num_samples)]
                           : std::string(),
                 tokenizer.decode(generated[i].tokens, true));
}

void execute(const ExportCommand& command, const parallel::Group& world) {
  const std::filesystem::path folder = find_model(command.model);
  if (std::filesystem::exists(command.output))
    runtime::throw_error("{} exists already; name a new directory", command.output);
  const auto tokenizer = data::Tokenizer::load(folder);
  const parallel::Mesh mesh = tensor_parallel_mesh(world);
  const auto model =
      load_model(folder, frozen_options(runtime::DType::kF32, mesh, head_in(folder)));
  const auto embedding = models::read_embedding_config(folder);
  train::save_model_directory(*model, mesh, &tokenizer, command.output, command.dtype,
                              embedding ? models::embedding_files(*embedding, model->hidden_size())
                                        : models::CompanionFiles());
  if (world.rank() == 0)
    std::printf("%s: written from %s\n", command.output.c_str(), folder.string().c_str());
}

}  // namespace tandem::launcher
