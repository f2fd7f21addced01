// The end of a run, as a person wants to read it: figures before and after, sample texts side by
// side, time per stage.
#pragma once

#include <string>
#include <utility>
#include <vector>

namespace tandem::launcher {

// Over the held-out prompts, for one model.
struct AnswerFigures {
  double reward_mean = 0;    // with a reward model
  double reward_std = 0;     // over samples
  double lexicon_mean = 0;   // valence of rated words, −4 … 4
  double lexicon_rated = 0;  // share of answers with at least one rated word
  double distinct_2 = 0;
  double kl_to_baseline = 0;  // nats per answer
  double mean_tokens = 0;
  double eos_rate = 0;
};

struct SampleTexts {
  std::string prompt, before, after;
  double reward_before = 0, reward_after = 0;
};

struct StageFigures {
  std::string name;
  double seconds = 0;
  double tokens = 0;
};

struct Summary {
  std::string run;
  std::string before, after;  // names of the compared models
  bool has_reward = false;
  bool has_lexicon = false;
  AnswerFigures figures_before, figures_after;
  std::vector<SampleTexts> samples;
  std::vector<StageFigures> stages;
};

// For the terminal, and as Markdown-friendly text for summary.md: at most `columns` wide.
std::string render(const Summary& summary, int columns = 100);
std::string to_json(const Summary& summary);

}  // namespace tandem::launcher
