// In place of cudnn/ where the build has no cuDNN.
#include "runtime/kernels/cuda/cudnn/attention.h"

#include "runtime/base/error.h"

namespace tandem::runtime::cuda {

struct CudnnAttention::State {};
CudnnAttention::CudnnAttention(int card) : card_(card) {}
CudnnAttention::~CudnnAttention() = default;

const CudnnSupport& CudnnAttention::support() {
  return support_;
}
bool CudnnAttention::forward(const CudnnProblem&, const CudnnTensors&, cudaStream_t) {
  TANDEM_CHECK(false, "attention by cuDNN on cuda:{}, which is not there", card_);
  return false;
}
bool CudnnAttention::backward(const CudnnProblem&, const CudnnTensors&, cudaStream_t) {
  TANDEM_CHECK(false, "attention by cuDNN on cuda:{}, which is not there", card_);
  return false;
}

std::string cudnn_refusal(const CudnnProblem&, bool, const std::string&, int) {
  return "this program was built without cuDNN";
}

}  // namespace tandem::runtime::cuda
