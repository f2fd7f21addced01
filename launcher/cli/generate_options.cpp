#include "launcher/cli/generate_options.h"

#include "launcher/cli/option_values.h"

namespace tandem::launcher {

namespace {

const NamedValues<models::EarlyStopping> kEarlyStopping = {
    {"false", models::EarlyStopping::kHeuristic},
    {"true", models::EarlyStopping::kFirst},
    {"never", models::EarlyStopping::kNever}};

void add_texts(CLI::App& g, GenerateCommand& command) {
  auto* texts = g.add_option_group("texts");
  texts->add_option("--prompt", command.prompts, "the text to continue; may be given several times")
      ->type_name("TEXT");
  texts
      ->add_option("--input", command.input,
                   "texts to continue, one JSON object a line: {\"prompt\": \"…\"}, or "
                   "{\"messages\": […]} for the model's own chat template")
      ->type_name("FILE");
  texts->require_option(1);
  g.add_option("--output", command.output,
               "write one JSON object for each text: its own of --input with \"completion\" and "
               "\"finish_reason\" (with --input alone they go to standard output)")
      ->type_name("FILE");
  auto* pattern =
      g.add_option("--chat-template", command.chat_template, "how the prompt becomes a text")
          ->capture_default_str();
  auto* chat = g.add_flag("--chat", command.chat,
                          "the prompt is a user's message, which becomes a text by the model's "
                          "own chat template; print the answer");
  chat->excludes(pattern);
  g.add_option("--system", command.system, "the system message before the user's")
      ->type_name("TEXT")
      ->needs(chat);
}

void add_lengths(CLI::App& g, GenerateCommand& command) {
  g.add_option("--max-new-tokens", command.max_new_tokens, "longest continuation")
      ->default_str("64")
      ->check(above_zero());
  g.add_option("--min-new-tokens", command.min_new_tokens,
               "before which a continuation does not end")
      ->check(zero_or_above());
  g.add_option("--stop", command.stop_strings,
               "a continuation ends with this text; may be given several times")
      ->type_name("TEXT")
      ->check([](const std::string& text) {
        return text.empty() ? "an empty text would end every continuation at once" : "";
      });
}

void add_sampling(CLI::App& g, GenerateCommand& command) {
  g.add_option("--num-samples", command.num_samples, "continuations of each prompt")
      ->default_str("1")
      ->check(above_zero());
  g.add_option("--temperature", command.temperature, "0 takes the likeliest token")
      ->default_str("0.7")
      ->check(zero_or_above());
  g.add_option("--top-k", command.top_k, "sample from the k likeliest tokens; 0 from all")
      ->default_str("0")
      ->check(zero_or_above());
  g.add_option("--top-p", command.top_p,
               "sample from the likeliest tokens that hold this probability")
      ->default_str("1")
      ->check(from_zero_to_one());
  g.add_option("--repetition-penalty", command.repetition_penalty,
               "above 1: make tokens unlikelier that the text has already")
      ->default_str("1")
      ->check(above_zero());
  g.add_option("--no-repeat-ngram-size", command.no_repeat_ngram_size,
               "no so many tokens in a row twice; 0: any")
      ->default_str("0")
      ->check(zero_or_above());
  g.add_option("--seed", command.seed, "samples follow from it")->capture_default_str();
}

void add_beams(CLI::App& g, GenerateCommand& command) {
  g.add_option("--num-beams", command.num_beams,
               "above 1: beam search, for the likeliest text as a whole; --num-samples of the best")
      ->default_str("1")
      ->check(above_zero());
  g.add_option("--length-penalty", command.length_penalty,
               "beam search divides a text's log-probability by its length to this power")
      ->default_str("1");
  add_named(g, "--early-stopping", command.early_stopping, kEarlyStopping,
            "when beam search ends: true when it has --num-beams texts, false when none is "
            "likely to be better, never when none can be")
      ->default_str("false");
}

}  // namespace

void add_generate_options(CLI::App& app, GenerateCommand& command) {
  app.footer(
      "What an option leaves open, the model's generation_config.json decides; the defaults above "
      "stand where neither says anything. docs/generate.md tells more.");
  add_texts(app, command);
  add_lengths(app, command);
  add_sampling(app, command);
  add_beams(app, command);
  app.add_option("--batch-size", command.batch_size, "continuations generated together")
      ->capture_default_str()
      ->check(above_zero());
  app.add_flag("--no-cache", command.no_cache,
               "compute every token from the whole text again: slow, a check of the cache");
}

}  // namespace tandem::launcher
