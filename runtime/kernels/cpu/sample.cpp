#include "runtime/kernels/cpu/sample.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "runtime/kernels/cpu/isa_select.h"

namespace tandem::runtime::cpu {
namespace {

struct Candidate {
  float logit;
  float weight;  // exp((logit − maximum) / temperature)
  std::int32_t token;
};

// Greater logit first, then the lower index.
bool ranks_before(const Candidate& a, const Candidate& b) {
  return a.logit != b.logit ? a.logit > b.logit : a.token < b.token;
}

// One row's memory, kept by the thread.
struct Row {
  const float* logits = nullptr;
  std::vector<float> weights;
  std::vector<Candidate> candidates;
};

// Lane by lane, so that the compiler makes vectors of it.
float largest(const float* values, std::int64_t count) {
  constexpr std::int64_t kLanes = 16;
  float best[kLanes];
  std::fill_n(best, kLanes, -std::numeric_limits<float>::infinity());
  std::int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes)
    for (std::int64_t lane = 0; lane < kLanes; ++lane)
      best[lane] = values[i + lane] > best[lane] ? values[i + lane] : best[lane];
  for (; i < count; ++i) best[0] = values[i] > best[0] ? values[i] : best[0];
  return *std::max_element(best, best + kLanes);
}

std::int32_t greedy(const float* logits, std::int64_t vocabulary) {
  const float* end = logits + vocabulary;
  const float* best = std::find(logits, end, largest(logits, vocabulary));
  return best == end ? 0 : static_cast<std::int32_t>(best - logits);
}

double total_weight(const Candidate* begin, const Candidate* end) {
  double total = 0;
  for (; begin != end; ++begin) total += begin->weight;
  return total;
}

// Weights are summed in runs, each in four chains: one chain would wait for every addition.
constexpr std::size_t kRun = 64;

double run_weight(const float* weights, std::size_t count) {
  double sums[4] = {};
  const std::size_t whole = count / 4 * 4;
  for (std::size_t i = 0; i < whole; i += 4)
    for (std::size_t chain = 0; chain < 4; ++chain) sums[chain] += weights[i + chain];
  for (std::size_t i = whole; i < count; ++i) sums[0] += weights[i];
  return (sums[0] + sums[1]) + (sums[2] + sums[3]);
}

double total_weight(const std::vector<float>& weights) {
  double total = 0;
  for (std::size_t i = 0; i < weights.size(); i += kRun)
    total += run_weight(weights.data() + i, std::min(kRun, weights.size() - i));
  return total;
}

// Tokens of at least this weight; the others are of no interest.
void collect(double bound, Row& row) {
  row.candidates.clear();
  for (std::size_t i = 0; i < row.weights.size(); ++i)
    if (row.weights[i] > 0 && row.weights[i] >= bound)
      row.candidates.push_back({row.logits[i], row.weights[i], static_cast<std::int32_t>(i)});
}

// The candidate of the last rank that top-k keeps; the others are dropped.
Candidate keep_top_k(std::size_t top_k, std::vector<Candidate>& candidates) {
  top_k = std::min(top_k, candidates.size());
  const auto last = candidates.begin() + static_cast<std::ptrdiff_t>(top_k - 1);
  std::nth_element(candidates.begin(), last, candidates.end(), ranks_before);
  candidates.resize(top_k);
  return candidates.back();
}

// The last of the shortest prefix (by rank) whose weight reaches `wanted`: selection by halves, so
// O(size).
Candidate last_of_nucleus(double wanted, std::vector<Candidate>& candidates) {
  Candidate* const begin = candidates.data();
  std::size_t low = 0, high = candidates.size();  // it ranks in [low, high)
  double before = 0;                              // weight of ranks [0, low)
  while (high - low > 1) {
    const std::size_t middle = low + (high - low) / 2;
    std::nth_element(begin + low, begin + middle, begin + high, ranks_before);
    const double half = total_weight(begin + low, begin + middle);
    if (before + half >= wanted) {
      high = middle;
    } else {
      before += half;
      low = middle;
    }
  }
  return begin[low];
}

// A token lighter than (1 − top_p)·total/vocabulary cannot be in the nucleus: all such tokens
// together weigh less than (1 − top_p)·total, so the heavier ones reach top_p without them. The
// factor covers rounding.
double nucleus_bound(double top_p, double total, std::size_t vocabulary) {
  return (1.0 - top_p) * total / static_cast<double>(vocabulary) * (1.0 - 1e-6);
}

Candidate last_kept(const SamplingParams& params, Row& row) {
  if (params.top_k <= 0) {
    const double total = total_weight(row.weights);
    collect(nucleus_bound(params.top_p, total, row.weights.size()), row);
    return last_of_nucleus(params.top_p * total, row.candidates);
  }
  collect(0, row);
  const Candidate last = keep_top_k(static_cast<std::size_t>(params.top_k), row.candidates);
  if (params.top_p >= 1.0f) return last;
  const double total =
      total_weight(row.candidates.data(), row.candidates.data() + row.candidates.size());
  return last_of_nucleus(params.top_p * total, row.candidates);
}

void drop_after(const Candidate& last, Row& row) {
  for (std::size_t i = 0; i < row.weights.size(); ++i)
    if (ranks_before(last, {row.logits[i], 0, static_cast<std::int32_t>(i)})) row.weights[i] = 0;
}

// The first token of some weight at which the running sum passes uniform · total.
std::int32_t draw(const std::vector<float>& weights, float uniform) {
  const double target = uniform * total_weight(weights);
  double sum = 0;
  std::size_t begin = 0, last = 0;
  for (; begin + kRun < weights.size(); begin += kRun) {  // whole runs that do not reach it
    const double run = run_weight(weights.data() + begin, kRun);
    if (sum + run > target) break;
    sum += run;
    if (run > 0) last = begin + kRun - 1;
  }
  for (std::size_t i = begin; i < weights.size(); ++i) {
    if (weights[i] <= 0) continue;
    last = i;
    sum += weights[i];
    if (sum > target) break;
  }
  while (last > 0 && weights[last] <= 0) --last;
  return static_cast<std::int32_t>(last);
}

}  // namespace

std::int32_t sample_row(const float* logits, std::int64_t vocabulary, const SamplingParams& params,
                        float uniform) {
  const std::int32_t best = greedy(logits, vocabulary);
  if (params.temperature <= 0.0f || params.top_k == 1 || !std::isfinite(logits[best])) return best;
  static thread_local Row row;
  row.logits = logits;
  row.weights.resize(static_cast<std::size_t>(vocabulary));
  kernel_table().exponentials(logits, vocabulary, logits[best], 1.0f / params.temperature,
                              row.weights.data());
  if (params.top_k > 0 || params.top_p < 1.0f) drop_after(last_kept(params, row), row);
  return draw(row.weights, uniform);
}

}  // namespace tandem::runtime::cpu
