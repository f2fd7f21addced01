#include "models/generation/beam_search.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "models/generation/model_runner.h"
#include "runtime/base/error.h"

namespace tandem::models {

using runtime::Tensor;

namespace {

// One prompt's beams and what the model has read of them.
struct Search {
  std::size_t prompt = 0;
  Beams beams;
  // Of each running beam; before the first step, one for all.
  std::vector<Sequence> sequences;
};

void to_log_probs(std::span<float> logits) {
  const float largest = *std::ranges::max_element(logits);
  double sum = 0;
  for (const float logit : logits) sum += std::exp(static_cast<double>(logit - largest));
  const auto lse = static_cast<float>(std::log(sum));
  for (float& logit : logits) logit = logit - largest - lse;
}

class BeamSearch {
 public:
  BeamSearch(Model& model, std::span<const std::vector<std::int32_t>> prompts,
             const GenerateOptions& options, const BeamOptions& beams)
      : prompts_together_(std::clamp<std::int64_t>(options.batch_size / beams.num_beams, 1,
                                                   static_cast<std::int64_t>(prompts.size()))),
        runner_(model, prompts,
                {.max_new_tokens = options.max_new_tokens,
                 .slots = prompts_together_ * beams.num_beams,
                 .use_cache = options.use_cache}),
        options_(options),
        beam_options_(beams),
        eos_token_ids_(options.eos_token_ids()),
        wanted_(Beams::continuations(beams.num_beams, eos_token_ids_.size())),
        results_(prompts.size()) {
    if (wanted_ > runner_.vocab_size())
      runtime::throw_error("num_beams {} needs a vocabulary of {} tokens; the model has {}",
                           beams.num_beams, wanted_, runner_.vocab_size());
  }

  std::vector<std::vector<BeamText>> run() {
    const auto batch = static_cast<std::size_t>(prompts_together_);
    for (std::size_t begin = 0; begin < results_.size(); begin += batch)
      run_batch(begin, std::min(results_.size(), begin + batch));
    return std::move(results_);
  }

 private:
  void run_batch(std::size_t begin, std::size_t end) {
    std::vector<Search> active;
    for (std::size_t i = begin; i < end; ++i) {
      const auto slot =
          static_cast<std::int32_t>(i - begin) * static_cast<std::int32_t>(beam_options_.num_beams);
      active.push_back({.prompt = i,
                        .beams = Beams(beam_options_, options_.max_new_tokens),
                        .sequences = {runner_.start(i, slot)}});
    }
    while (!active.empty()) {
      step(active);
      for (const Search& search : active)
        if (search.beams.is_over()) results_[search.prompt] = texts_of(search);
      std::erase_if(active, [](const Search& search) { return search.beams.is_over(); });
    }
  }

  void step(std::vector<Search>& active) {
    std::vector<Continuation> best = best_continuations(active);
    for (std::size_t i = 0; i < active.size(); ++i) {
      const auto own = std::span(best).subspan(i * static_cast<std::size_t>(wanted_),
                                               static_cast<std::size_t>(wanted_));
      for (Continuation& continuation : own) continuation.ends = ends(active[i], continuation);
      active[i].beams.advance(own);
      if (!active[i].beams.is_over()) move_to_beams(active[i]);
    }
  }

  // `wanted_` of each search, on all ranks.
  std::vector<Continuation> best_continuations(const std::vector<Search>& active) {
    std::vector<Sequence> sequences;
    for (const Search& search : active)
      sequences.insert(sequences.end(), search.sequences.begin(), search.sequences.end());
    const Tensor logits = runner_.next_logits(sequences);
    std::vector<std::int32_t> places(active.size() * static_cast<std::size_t>(wanted_));
    std::vector<float> log_probs(places.size());
    if (logits.defined()) rank(logits.to_vector<float>(), active, places, log_probs);
    runner_.share_from_last(places, "continuations of beams");
    runner_.share_from_last(log_probs, "their log-probabilities");
    const auto vocab = static_cast<std::int32_t>(runner_.vocab_size());
    std::vector<Continuation> best;
    for (std::size_t i = 0; i < places.size(); ++i)
      best.push_back(
          {.beam = places[i] / vocab, .token = places[i] % vocab, .log_prob = log_probs[i]});
    return best;
  }

  // Finds the best places in [beams, vocab] of each search.
  void rank(std::vector<float> scores, const std::vector<Search>& active,
            std::vector<std::int32_t>& places, std::vector<float>& log_probs) const {
    const auto vocab = static_cast<std::size_t>(runner_.vocab_size());
    std::span<float> rest = scores;
    for (std::size_t i = 0; i < active.size(); ++i) {
      const Search& search = active[i];
      const std::span<float> own = rest.first(search.sequences.size() * vocab);
      rest = rest.subspan(own.size());
      const std::vector<float> sums = log_probs_of_texts(search, own);
      std::vector<std::int32_t> order(sums.size());
      std::iota(order.begin(), order.end(), 0);
      const auto sum = [&](std::int32_t place) { return sums[static_cast<std::size_t>(place)]; };
      std::ranges::partial_sort(order, order.begin() + wanted_,
                                [&](std::int32_t a, std::int32_t b) {
                                  return sum(a) != sum(b) ? sum(a) > sum(b) : a < b;
                                });
      for (std::size_t k = 0; k < static_cast<std::size_t>(wanted_); ++k) {
        places[i * static_cast<std::size_t>(wanted_) + k] = order[k];
        log_probs[i * static_cast<std::size_t>(wanted_) + k] = sum(order[k]);
      }
    }
  }

  // [beams, vocab] from the logits of the sequences that the model has read.
  std::vector<float> log_probs_of_texts(const Search& search, std::span<float> logits) const {
    const std::size_t vocab = logits.size() / search.sequences.size();
    for (std::size_t i = 0; i < search.sequences.size(); ++i) {
      const Sequence& sequence = search.sequences[i];
      const std::span<float> row = logits.subspan(i * vocab, vocab);
      to_log_probs(row);
      process_scores(options_.processing,
                     {.tokens = sequence.text,
                      .written = static_cast<std::int64_t>(sequence.written().size()),
                      .max_new_tokens = options_.max_new_tokens,
                      .eos_token_ids = eos_token_ids_},
                     row);
    }
    const std::vector<float>& beams = search.beams.log_probs();
    std::vector<float> sums;
    sums.reserve(beams.size() * vocab);
    for (std::size_t beam = 0; beam < beams.size(); ++beam)
      for (const float log_prob : logits.subspan(row_of(search, beam) * vocab, vocab))
        sums.push_back(log_prob + beams[beam]);
    return sums;
  }

  static std::size_t row_of(const Search& search, std::size_t beam) {
    return search.sequences.size() == 1 ? 0 : beam;
  }

  bool ends(const Search& search, const Continuation& continuation) const {
    std::vector<std::int32_t> text =
        search.beams.texts()[static_cast<std::size_t>(continuation.beam)];
    text.push_back(continuation.token);
    return ending_of(search.prompt, text) != Ending::kLength ||
           static_cast<std::int64_t>(text.size()) >= options_.max_new_tokens;
  }

  Ending ending_of(std::size_t prompt, std::span<const std::int32_t> text) const {
    if (std::ranges::count(eos_token_ids_, text.back()) > 0) return Ending::kEos;
    if (options_.stops && options_.stops(prompt, text)) return Ending::kStop;
    return Ending::kLength;
  }

  // Gives every running beam the cache of its parent: the first of several children goes on in the
  // parent's slot, others get a copy in a slot that nobody goes on in.
  void move_to_beams(Search& search) {
    const std::vector<Sequence> parents = std::move(search.sequences);
    const bool first_step = parents.size() == 1;
    std::vector<std::int32_t> free;
    if (first_step)
      for (std::int32_t i = 1; i < static_cast<std::int32_t>(beam_options_.num_beams); ++i)
        free.push_back(parents.front().slot + i);
    std::vector<bool> taken(parents.size());
    for (const std::int32_t parent : search.beams.parents())
      taken[row_of_parent(parents, parent)] = true;
    for (std::size_t i = 0; i < parents.size(); ++i)
      if (!taken[i]) free.push_back(parents[i].slot);
    search.sequences.clear();
    for (std::size_t beam = 0; beam < search.beams.texts().size(); ++beam) {
      const std::size_t row = row_of_parent(parents, search.beams.parents()[beam]);
      Sequence child = parents[row];
      child.text.push_back(search.beams.texts()[beam].back());
      if (!taken[row]) {
        child.slot = free.back();
        free.pop_back();
        runner_.fork(parents[row].slot, child.slot, first_step);
      }
      taken[row] = false;  // from the second child on
      search.sequences.push_back(std::move(child));
    }
  }

  static std::size_t row_of_parent(const std::vector<Sequence>& parents, std::int32_t beam) {
    return parents.size() == 1 ? 0 : static_cast<std::size_t>(beam);
  }

  std::vector<BeamText> texts_of(const Search& search) const {
    std::vector<BeamText> texts;
    for (const FinishedText& finished : search.beams.finished())
      texts.push_back({finished.tokens, finished.score, ending_of(search.prompt, finished.tokens)});
    return texts;
  }

  std::int64_t prompts_together_;
  ModelRunner runner_;
  const GenerateOptions& options_;
  BeamOptions beam_options_;
  std::vector<std::int32_t> eos_token_ids_;
  std::int64_t wanted_;
  std::vector<std::vector<BeamText>> results_;
};

}  // namespace

std::vector<std::vector<BeamText>> beam_search(Model& model,
                                               std::span<const std::vector<std::int32_t>> prompts,
                                               const GenerateOptions& options,
                                               const BeamOptions& beams) {
  if (prompts.empty()) return {};
  const runtime::TapeScope no_recording(nullptr);
  return BeamSearch(model, prompts, options, beams).run();
}

}  // namespace tandem::models
