#include "launcher/stages/summary.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "runtime/io/json_text.h"
#include "runtime/metrics/timers.h"

namespace tandem::launcher {

using nlohmann::json;

namespace {

// One line of text, cut at a word where it is too long.
std::string one_line(std::string text, std::size_t limit) {
  std::ranges::replace(text, '\n', ' ');
  if (text.size() <= limit) return text;
  std::size_t cut = text.rfind(' ', limit);
  if (cut == std::string::npos || cut == 0) cut = limit;
  while (cut > 0 && (static_cast<unsigned char>(text[cut]) & 0xC0) == 0x80)
    --cut;  // not inside a UTF-8 character
  return text.substr(0, cut) + "…";
}

std::size_t longest_name(const Summary& s) {
  return std::max(s.before.size(), s.after.size());
}

std::string figure_table(const Summary& s) {
  const std::size_t width = std::max<std::size_t>(14, longest_name(s) + 2);
  std::string text = fmt::format("{:<38}{:>{}}{:>{}}{:>12}\n", "held-out prompts", s.before, width,
                                 s.after, width, "change");
  const auto row = [&](std::string_view name, double before, double after) {
    text += fmt::format("{:<38}{:>{}.3f}{:>{}.3f}{:>+12.3f}\n", name, before, width, after, width,
                        after - before);
  };
  if (s.has_reward) {
    row("reward (reward model)", s.figures_before.reward_mean, s.figures_after.reward_mean);
    text += fmt::format("{:<38}{:>{}.3f}{:>{}.3f}\n", "  standard deviation over samples",
                        s.figures_before.reward_std, width, s.figures_after.reward_std, width);
  }
  if (s.has_lexicon)
    row("sentiment (lexicon, never trained on)", s.figures_before.lexicon_mean,
        s.figures_after.lexicon_mean);
  row("distinct-2", s.figures_before.distinct_2, s.figures_after.distinct_2);
  row("tokens per answer", s.figures_before.mean_tokens, s.figures_after.mean_tokens);
  row("answers that end by themselves", s.figures_before.eos_rate, s.figures_after.eos_rate);
  text += fmt::format("{:<38}{:>{}}{:>{}.3f}\n", "KL to " + s.before + " (nats per answer)", "",
                      width, s.figures_after.kl_to_baseline, width);
  return text;
}

std::string sample_texts(const Summary& s, int columns) {
  std::string text;
  const auto width = static_cast<std::size_t>(std::max(columns - 28, 40));
  const auto answer = [&](std::string_view model, double reward, const std::string& answer) {
    text +=
        fmt::format("    {:<{}}{}  {}\n", model, std::max<std::size_t>(10, longest_name(s)),
                    s.has_reward ? fmt::format("{:>+7.2f}", reward) : "", one_line(answer, width));
  };
  for (const SampleTexts& sample : s.samples) {
    text += fmt::format("\n  » {}\n", one_line(sample.prompt, width));
    answer(s.before, sample.reward_before, sample.before);
    answer(s.after, sample.reward_after, sample.after);
  }
  return text;
}

std::string stage_table(const Summary& s) {
  std::string text =
      fmt::format("\n{:<24}{:>10}{:>14}{:>12}\n", "stage", "time", "tokens", "tokens/s");
  double total = 0;
  for (const StageFigures& stage : s.stages) {
    total += stage.seconds;
    const std::string rate =
        stage.tokens > 0 && stage.seconds > 0
            ? runtime::format_thousands(static_cast<std::int64_t>(stage.tokens / stage.seconds))
            : "";
    text += fmt::format(
        "{:<24}{:>10}{:>14}{:>12}\n", stage.name, runtime::format_duration(stage.seconds),
        stage.tokens > 0 ? runtime::format_thousands(static_cast<std::int64_t>(stage.tokens)) : "",
        rate);
  }
  return text + fmt::format("{:<24}{:>10}\n", "together", runtime::format_duration(total));
}

json figures_json(const Summary& s, const AnswerFigures& f) {
  json figures = {{"distinct_2", f.distinct_2},
                  {"kl_to_baseline", f.kl_to_baseline},
                  {"mean_tokens", f.mean_tokens},
                  {"eos_rate", f.eos_rate}};
  if (s.has_reward) figures.update({{"reward_mean", f.reward_mean}, {"reward_std", f.reward_std}});
  if (s.has_lexicon)
    figures.update({{"lexicon_mean", f.lexicon_mean}, {"lexicon_rated", f.lexicon_rated}});
  return figures;
}

}  // namespace

std::string render(const Summary& summary, int columns) {
  return fmt::format("\n━━ {} ━━\n\n", summary.run) + figure_table(summary) +
         sample_texts(summary, columns) + stage_table(summary);
}

std::string to_json(const Summary& summary) {
  json samples = json::array();
  for (const SampleTexts& s : summary.samples) {
    samples.push_back({{"prompt", s.prompt}, {"before", s.before}, {"after", s.after}});
    if (summary.has_reward)
      samples.back().update({{"reward_before", s.reward_before}, {"reward_after", s.reward_after}});
  }
  json stages = json::array();
  for (const StageFigures& s : summary.stages)
    stages.push_back({{"name", s.name}, {"seconds", s.seconds}, {"tokens", s.tokens}});
  const json object = {
      {"run", summary.run},
      {"before",
       {{"name", summary.before}, {"figures", figures_json(summary, summary.figures_before)}}},
      {"after",
       {{"name", summary.after}, {"figures", figures_json(summary, summary.figures_after)}}},
      {"samples", samples},
      {"stages", stages}};
  return runtime::lossy_json_text(object, 1) + "\n";
}

}  // namespace tandem::launcher
