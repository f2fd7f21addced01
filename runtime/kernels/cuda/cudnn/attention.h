// Attention by cuDNN's fused kernels. The one seam to cuDNN and its header-only frontend
// (attention.cpp, library.cpp); no_cudnn/ stands in where the build has none of it, tests/simt has
// a definition of its own on the host.
#pragma once

#include <cuda_runtime.h>

#include <memory>
#include <string>

#include "runtime/kernels/cuda/attention_engine.h"

namespace tandem::runtime::cuda {

// Of one group of sequences, at its first row; but lse, [rows, heads] here, is the whole batch's.
struct CudnnTensors {
  const void *q, *k, *v;
  void* out;
  float* lse;
  const void* dout = nullptr;
  void *dq = nullptr, *dk = nullptr, *dv = nullptr;
  const std::int32_t* lists;  // cudnn_lists, on the card
};

class CudnnAttention {
 public:
  explicit CudnnAttention(int card);
  ~CudnnAttention();

  // The library is opened by the first call. The log says once where there is none.
  const CudnnSupport& support();

  // False, with a line in the log, where cuDNN has no kernel for this problem after all: then
  // nothing was done.
  bool forward(const CudnnProblem& problem, const CudnnTensors& tensors, cudaStream_t stream);
  // One order of sums.
  bool backward(const CudnnProblem& problem, const CudnnTensors& tensors, cudaStream_t stream);

 private:
  struct State;
  std::unique_ptr<State> state_;
  int card_;
  CudnnSupport support_;
};

// Why cuDNN makes no kernel for the problem on a card that need not be there: of this architecture,
// and otherwise as cuDNN describes cards in JSON (CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION). Empty
// where it does. For tests on machines without a card.
std::string cudnn_refusal(const CudnnProblem& problem, bool backward, const std::string& card,
                          int architecture);

}  // namespace tandem::runtime::cuda
