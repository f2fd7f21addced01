// Over rows of logits, which are large (tens of thousands of columns): each kernel reads them once.
#include "runtime/kernels/cpu/isa/fill.h"
#include "runtime/kernels/cpu/isa/parallel.h"
#include "runtime/kernels/cpu/isa/vec.h"

namespace tandem::runtime::cpu::TANDEM_ISA {
namespace {

template <typename T>
float row_maximum(const T* x, std::int64_t width) {
  F32 best = broadcast(-kInfinity);
  std::int64_t j = 0;
  for (; j + kLanes <= width; j += kLanes) best = max(best, load(x + j));
  float result = largest(best);
  for (; j < width; ++j) result = to_float(x[j]) > result ? to_float(x[j]) : result;
  return result;
}

template <typename T>
void row_max(const T* logits, std::int64_t n, std::int64_t width, float* maximum) {
  parallel_for(n, n * width,
               [&](std::int64_t i) { maximum[i] = row_maximum(logits + i * width, width); });
}

// Runs of kRun columns are added up by themselves: error of a long sum stays near that of a short
// one.
constexpr std::int64_t kRun = 1024;

template <typename T>
void row_sums(const T* x, std::int64_t width, float maximum, float* sums) {
  double e_total = 0, ex_total = 0;
  for (std::int64_t run = 0; run < width; run += kRun) {
    const std::int64_t end = minimum(width, run + kRun);
    F32 e_sum = {}, ex_sum = {};
    std::int64_t j = run;
    for (; j + kLanes <= end; j += kLanes) {
      const F32 shifted = load(x + j) - maximum;
      const F32 e = exp_of_negative(shifted);
      e_sum += e;
      ex_sum += e > 0.0f ? e * shifted : F32{};  // a masked logit of −∞ counts as 0
    }
    if (j < end) {
      const F32 valid_x = load(x + j, end - j);
      const I32 valid = lane_index() < static_cast<std::int32_t>(end - j);
      const F32 shifted = valid_x - maximum;
      const F32 e = valid ? exp_of_negative(shifted) : F32{};
      e_sum += e;
      ex_sum += e > 0.0f ? e * shifted : F32{};
    }
    e_total += static_cast<double>(sum(e_sum));
    ex_total += static_cast<double>(sum(ex_sum));
  }
  sums[0] = static_cast<float>(e_total);
  sums[1] = static_cast<float>(ex_total);
}

template <typename T>
void softmax_sums(const T* logits, const float* maximum, const std::int32_t* targets,
                  std::int64_t first_column, std::int64_t n, std::int64_t width, float* sums) {
  parallel_for(n, n * width, [&](std::int64_t i) {
    const T* row = logits + i * width;
    row_sums(row, width, maximum[i], sums + 3 * i);
    const std::int64_t target = targets[i] - first_column;
    sums[3 * i + 2] = target >= 0 && target < width ? to_float(row[target]) - maximum[i] : 0.0f;
  });
}

template <typename In, typename Out>
void softmax_backward_row(const In* x, std::int64_t width, float lse, float g_logp, float entropy,
                          float g_entropy, Out* dx) {
  if (g_entropy == 0.0f) {
    for (std::int64_t j = 0; j < width; j += kLanes) {
      const F32 p = exp(load(x + j, width - j) - lse);
      store(dx + j, p * -g_logp, width - j);
    }
    return;
  }
  for (std::int64_t j = 0; j < width; j += kLanes) {
    const F32 logp = load(x + j, width - j) - lse;
    const F32 p = exp(logp);
    const F32 d = p * (-g_logp - g_entropy * (logp + entropy));
    store(dx + j, p > 0.0f ? d : F32{}, width - j);
  }
}

// The target's column is recomputed in fp32, so that it is rounded once.
template <typename In>
float target_gradient(const In* x, std::int64_t target, float lse, float g_logp, float entropy,
                      float g_entropy) {
  const float logp = to_float(x[target]) - lse;
  const float p = exp(broadcast(logp))[0];
  return g_logp * (1.0f - p) - (p > 0.0f ? g_entropy * p * (logp + entropy) : 0.0f);
}

template <typename In, typename Out>
void softmax_backward(const In* logits, const float* lse, const std::int32_t* targets,
                      std::int64_t first_column, const float* g_logp, const float* entropy,
                      const float* g_entropy, std::int64_t n, std::int64_t width, Out* dlogits) {
  parallel_for(n, n * width, [&](std::int64_t i) {
    const In* row = logits + i * width;
    const float h = entropy == nullptr ? 0.0f : entropy[i];
    const float g_h = g_entropy == nullptr ? 0.0f : g_entropy[i];
    softmax_backward_row(row, width, lse[i], g_logp[i], h, g_h, dlogits + i * width);
    const std::int64_t target = targets[i] - first_column;
    if (target < 0 || target >= width) return;
    Out rounded[kLanes];
    store(rounded, broadcast(target_gradient(row, target, lse[i], g_logp[i], h, g_h)));
    dlogits[i * width + target] = rounded[0];
  });
}

void exponentials(const float* x, std::int64_t n, float maximum, float factor, float* e) {
  for (std::int64_t j = 0; j < n; j += kLanes) {
    const F32 v = load(x + j, n - j);
    store(e + j, v == v ? exp((v - maximum) * factor) : F32{}, n - j);
  }
}

template <typename T>
void fill_typed(TypedKernels<T>& kernels) {
  kernels.row_max = row_max<T>;
  kernels.softmax_sums = softmax_sums<T>;
}

}  // namespace

void fill_softmax(KernelTable& table) {
  for_each_type(table, [](auto& kernels) { fill_typed(kernels); });
  for_each_pair(table, [](auto& kernels) { kernels.softmax_backward = softmax_backward; });
  table.exponentials = exponentials;
}

}  // namespace tandem::runtime::cpu::TANDEM_ISA
