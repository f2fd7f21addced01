// Plain sums in place of cuDNN's kernels, which read the same lists: the emulated device's memory
// is the host's. Rows that no list names are left as they are, as by cuDNN.
#include <algorithm>
#include <cmath>
#include <vector>

#include "runtime/base/error.h"
#include "runtime/kernels/cuda/cudnn/attention.h"
#include "runtime/kernels/cuda/kernels.h"
#include "tests/simt/emulator.h"

namespace tandem::runtime::cuda {
namespace {

float to_float(Bf16 value) {
  return __bfloat162float(value);
}
Bf16 rounded(double value) {
  return __float2bfloat16_rn(static_cast<float>(value));
}

// One sequence and query head.
struct Head {
  const CudnnProblem& p;
  const CudnnTensors& t;
  std::int64_t sequence, head;

  std::int64_t at(CudnnList list) const { return t.lists[list * list_pitch(p) + sequence]; }
  std::int64_t queries() const { return at(kRowsQ); }
  std::int64_t keys() const { return at(kRowsK); }
  std::int64_t kv_head() const { return head / (p.heads / p.kv_heads); }

  template <typename T>
  T* row(T* base, CudnnList list, std::int64_t stride, std::int64_t i, std::int64_t of) const {
    return base + at(list) + i * stride + of * p.head_dim;
  }
  const Bf16* q(std::int64_t i) const {
    return row(static_cast<const Bf16*>(t.q), kInQ, p.q_stride, i, head);
  }
  const Bf16* k(std::int64_t j) const {
    return row(static_cast<const Bf16*>(t.k), kInK, p.k_stride, j, kv_head());
  }
  const Bf16* v(std::int64_t j) const {
    return row(static_cast<const Bf16*>(t.v), kInV, p.v_stride, j, kv_head());
  }
  Bf16* out(std::int64_t i) const {
    return row(static_cast<Bf16*>(t.out), kInOut, p.heads * p.head_dim, i, head);
  }
  const Bf16* dout(std::int64_t i) const {
    return row(static_cast<const Bf16*>(t.dout), kInOut, p.heads * p.head_dim, i, head);
  }
  float& lse(std::int64_t i) const { return t.lse[at(kInLse) + i * p.heads + head]; }

  double dot(const Bf16* a, const Bf16* b) const {
    double sum = 0;
    for (std::int64_t d = 0; d < p.head_dim; ++d)
      sum += static_cast<double>(to_float(a[d])) * to_float(b[d]);
    return sum;
  }
  bool sees(std::int64_t i, std::int64_t j) const {
    const std::int64_t shift = p.last_meets_last ? keys() - queries() : 0;
    return (!p.causal || j <= i + shift) && (p.window == 0 || j > i + shift - p.window);
  }
  double score(std::int64_t i, std::int64_t j) const {
    return sees(i, j) ? p.scale * dot(q(i), k(j)) : -INFINITY;
  }
};

template <typename Body>
void for_heads(const CudnnProblem& p, const CudnnTensors& t, const Body& body) {
  for (std::int64_t sequence = 0; sequence < p.sequences; ++sequence)
    for (std::int64_t head = 0; head < p.heads; ++head) {
      const Head at{p, t, sequence, head};
      TANDEM_CHECK(at.queries() <= p.max_q && at.keys() <= p.max_k,
                   "{} and {} rows, {} and {} at most", at.queries(), at.keys(), p.max_q, p.max_k);
      body(at);
    }
}

void attend(const Head& h) {
  for (std::int64_t i = 0; i < h.queries(); ++i) {
    double greatest = -INFINITY, sum = 0;
    for (std::int64_t j = 0; j < h.keys(); ++j) greatest = std::max(greatest, h.score(i, j));
    std::vector<double> row(static_cast<std::size_t>(h.p.head_dim), 0.0);
    for (std::int64_t j = 0; j < h.keys(); ++j) {
      const double weight = std::exp(h.score(i, j) - greatest);
      sum += weight;
      for (std::size_t d = 0; d < row.size(); ++d) row[d] += weight * to_float(h.v(j)[d]);
    }
    for (std::size_t d = 0; d < row.size(); ++d) h.out(i)[d] = rounded(row[d] / sum);
    h.lse(i) = static_cast<float>(greatest + std::log(sum));
  }
}

// Sums over the query heads that share a key head, [keys, head_dim] each.
struct KeyGradients {
  std::vector<double> k, v;
};

void differentiate(const Head& h, KeyGradients& sums) {
  const auto width = static_cast<std::size_t>(h.p.head_dim);
  Bf16* dq = static_cast<Bf16*>(h.t.dq);
  for (std::int64_t i = 0; i < h.queries(); ++i) {
    std::vector<double> row(width, 0.0);
    const double delta = h.dot(h.dout(i), h.out(i));
    for (std::int64_t j = 0; j < h.keys(); ++j) {
      const double weight = std::exp(h.score(i, j) - h.lse(i));
      const double slope = h.p.scale * weight * (h.dot(h.dout(i), h.v(j)) - delta);
      for (std::size_t d = 0; d < width; ++d) {
        const std::size_t at = static_cast<std::size_t>(j) * width + d;
        row[d] += slope * to_float(h.k(j)[d]);
        sums.k[at] += slope * to_float(h.q(i)[d]);
        sums.v[at] += weight * to_float(h.dout(i)[d]);
      }
    }
    Bf16* to = h.row(dq, kInDq, h.p.dq_stride, i, h.head);
    for (std::size_t d = 0; d < width; ++d) to[d] = rounded(row[d]);
  }
}

void store(const Head& h, const KeyGradients& sums) {
  for (std::int64_t j = 0; j < h.keys(); ++j)
    for (std::int64_t d = 0; d < h.p.head_dim; ++d) {
      const auto at = static_cast<std::size_t>(j * h.p.head_dim + d);
      h.row(static_cast<Bf16*>(h.t.dk), kInDk, h.p.dk_stride, j, h.kv_head())[d] =
          rounded(sums.k[at]);
      h.row(static_cast<Bf16*>(h.t.dv), kInDv, h.p.dv_stride, j, h.kv_head())[d] =
          rounded(sums.v[at]);
    }
}

}  // namespace

struct CudnnAttention::State {};
CudnnAttention::CudnnAttention(int card) : card_(card) {
  // So little memory that batches are divided.
  support_ = {.version = 91900, .architecture = 90, .workspace = 1 << 17};
}
CudnnAttention::~CudnnAttention() = default;

const CudnnSupport& CudnnAttention::support() {
  return support_;
}

bool CudnnAttention::forward(const CudnnProblem& problem, const CudnnTensors& tensors,
                             cudaStream_t stream) {
  simt::enqueue([=] { for_heads(problem, tensors, attend); }, stream);
  return true;
}

bool CudnnAttention::backward(const CudnnProblem& problem, const CudnnTensors& tensors,
                              cudaStream_t stream) {
  const auto work = [=] {
    const std::int64_t share = problem.heads / problem.kv_heads;
    KeyGradients sums;
    for_heads(problem, tensors, [&](const Head& head) {
      if (head.head % share == 0) {
        const auto elements = static_cast<std::size_t>(head.keys() * problem.head_dim);
        sums = {std::vector<double>(elements, 0.0), std::vector<double>(elements, 0.0)};
      }
      differentiate(head, sums);
      if (head.head % share == share - 1) store(head, sums);
    });
  };
  simt::enqueue(work, stream);
  return true;
}

}  // namespace tandem::runtime::cuda
