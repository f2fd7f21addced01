#!/usr/bin/env bash
# Includes go down the dependence diagram only, and vendor headers stay in their folders. Prints each offence.
set -u
cd "$(dirname "$0")/../.." || exit 2
status=0

# complain WHERE PATTERN REASON: no file under WHERE may include what matches PATTERN.
complain() {
  local found
  found=$(grep -rnE "^#include [\"<]($2)" $1 --include='*.h' --include='*.cpp' --include='*.cu' 2>/dev/null)
  if [ -n "$found" ]; then
    printf '%s\n  %s\n' "$found" "$3"
    status=1
  fi
}

complain runtime '(parallel|models|data|train|rl|proto|launcher)/' 'runtime is the lowest room'
complain runtime/base 'runtime/(device|tensor|kernels|autograd|nn|optim|io|quant|metrics)/' 'runtime/base includes nothing above it'
complain runtime/device 'runtime/(kernels|autograd|nn|optim|io|metrics)/' 'runtime/device is below kernels'
complain runtime/quant 'runtime/(kernels|autograd|nn|optim|io|metrics)/' 'runtime/quant is below kernels'
complain runtime/kernels 'runtime/(autograd|nn|optim|io|metrics)/' 'kernels are below autograd'
complain runtime/autograd 'runtime/(nn|optim|io|metrics)/' 'autograd is below nn'
complain runtime/nn 'runtime/(optim|io|metrics)/' 'nn is below optim'
complain parallel '(models|data|train|rl|proto|launcher)/' 'parallel sees runtime only'
complain models '(data|train|rl|proto|launcher)/' 'models see parallel and runtime'
complain data '(parallel|models|train|rl|proto|launcher)/' 'data sees runtime only'
complain data 'runtime/(kernels|autograd|nn|optim)/' 'data sees runtime/{base,tensor,io} only'
complain train '(rl|proto|launcher)/' 'train is below rl'
complain rl '(proto|launcher)/' 'rl is below launcher'

# Vendor headers in quarantine.
complain 'runtime models data train rl launcher parallel/ops parallel/layers parallel/data parallel/checkpoint parallel/mesh' 'mpi\.h' 'MPI only in parallel/comm/mpi'
complain 'runtime/base runtime/device runtime/tensor runtime/autograd runtime/nn runtime/optim runtime/io parallel models data train rl launcher' '(oneapi/)?dnnl' 'oneDNN only in runtime/kernels/cpu'
complain 'runtime parallel models data train rl' 'grpc|tandem\.(grpc\.)?pb\.h' 'gRPC only in launcher'
complain 'runtime/base runtime/device/device.h runtime/tensor runtime/autograd parallel/ops parallel/layers models data train rl launcher' 'cuda|cudnn|cublas|nccl\.h' 'CUDA only in cuda/ and nccl/ folders'
complain 'runtime parallel models train rl launcher data/readers data/datasets data/no_parquet data/tokenizer data/jinja' '(arrow|parquet)/' 'Arrow only in data/parquet'
found=$(grep -rn 'USE_CUDA' --include='*.h' --include='*.cpp' runtime parallel models data train rl launcher)
[ -n "$found" ] && { printf '%s\n  build variations are folders, not #ifdef\n' "$found"; status=1; }
exit $status
