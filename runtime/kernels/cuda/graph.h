// Work of a stream that is recorded once and then submitted as one: a CUDA graph.
#pragma once

#include <cuda_runtime.h>

#include <functional>
#include <memory>

namespace tandem::runtime::cuda {

class Graph {
 public:
  // Records what `work` submits to `stream` from this thread; none of it runs. Throws what `work`
  // throws, and Error (environment) where it did what cannot be recorded.
  Graph(cudaStream_t stream, const std::function<void()>& work);
  void launch(cudaStream_t stream) const;

 private:
  struct Destroy {
    void operator()(cudaGraphExec_t graph) const { cudaGraphExecDestroy(graph); }
  };
  std::unique_ptr<std::remove_pointer_t<cudaGraphExec_t>, Destroy> executable_;
};

}  // namespace tandem::runtime::cuda
