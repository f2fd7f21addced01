// libcudnn.so.9, from the system, LD_LIBRARY_PATH, the program's own lib folder or where
// TANDEM_CUDNN_LIBRARY points. Opened when first asked for, so that the program starts where there
// is none. library.cpp defines the functions of cudnn.h that the frontend calls; they pass each
// call on.
#pragma once

#include <cstdint>
#include <string>

namespace tandem::runtime::cuda {

struct CudnnLibrary {
  std::int64_t version = 0;  // 91900: 9.19.0; 0: nothing of it can be used
  std::string absence;       // why
};

// The same every time.
const CudnnLibrary& cudnn_library();

}  // namespace tandem::runtime::cuda
