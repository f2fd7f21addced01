#include "runtime/kernels/cuda/graph.h"

#include <type_traits>

#include "runtime/device/cuda/status.h"

namespace tandem::runtime::cuda {
namespace {

struct DestroyGraph {
  void operator()(cudaGraph_t graph) const { cudaGraphDestroy(graph); }
};
using Recorded = std::unique_ptr<std::remove_pointer_t<cudaGraph_t>, DestroyGraph>;

// A stream must leave its recording also where that has failed.
Recorded record(cudaStream_t stream, const std::function<void()>& work) {
  check(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal), "cudaStreamBeginCapture");
  cudaGraph_t graph = nullptr;
  try {
    work();
  } catch (...) {
    cudaStreamEndCapture(stream, &graph);
    const Recorded unfinished(graph);
    cudaGetLastError();
    throw;
  }
  const cudaError_t status = cudaStreamEndCapture(stream, &graph);
  Recorded recorded(graph);
  check(status, "cudaStreamEndCapture");
  return recorded;
}

}  // namespace

Graph::Graph(cudaStream_t stream, const std::function<void()>& work) {
  const Recorded recorded = record(stream, work);
  cudaGraphExec_t executable = nullptr;
  check(cudaGraphInstantiate(&executable, recorded.get(), 0), "cudaGraphInstantiate");
  executable_.reset(executable);
}

void Graph::launch(cudaStream_t stream) const {
  check(cudaGraphLaunch(executable_.get(), stream), "cudaGraphLaunch");
}

}  // namespace tandem::runtime::cuda
