#include "runtime/kernels/cuda/cudnn/library.h"

#include <cudnn.h>
#include <dlfcn.h>
#include <fmt/format.h>
#include <nvrtc.h>

#include <cstdlib>

namespace tandem::runtime::cuda {

static void* opened() {
  static void* const library = [] {
    const char* chosen = std::getenv("TANDEM_CUDNN_LIBRARY");
    return dlopen(chosen != nullptr ? chosen : "libcudnn.so.9", RTLD_NOW | RTLD_LOCAL);
  }();
  return library;
}

// The library's function of this name; null where there is none.
template <typename Function>
static Function* found(Function*, const char* name) {
  return opened() == nullptr ? nullptr : reinterpret_cast<Function*>(dlsym(opened(), name));
}

// Calls it, or says that there is none.
template <typename Function, typename... Arguments>
static cudnnStatus_t pass_on(Function* function, Arguments... arguments) {
  return function == nullptr ? CUDNN_STATUS_NOT_INITIALIZED : function(arguments...);
}

static CudnnLibrary open_library() {
  CudnnLibrary library;
  if (opened() == nullptr) {
    const char* error = dlerror();
    library.absence = fmt::format("no cuDNN: {}", error != nullptr ? error : "it cannot be opened");
    return library;
  }
  library.version = static_cast<std::int64_t>(cudnnGetVersion());
  if (library.version == 0) library.absence = "no cuDNN: the library has no cudnnGetVersion";
  return library;
}

const CudnnLibrary& cudnn_library() {
  static const CudnnLibrary library = open_library();
  return library;
}

}  // namespace tandem::runtime::cuda

// What the frontend calls, defined as a library to link against would. A name of cudnn.h outside
// any namespace is the library's; each finds its function there once.
namespace cuda = tandem::runtime::cuda;

size_t cudnnGetVersion() {
  static const auto function = cuda::found(&cudnnGetVersion, "cudnnGetVersion");
  return function == nullptr ? 0 : function();
}

const char* cudnnGetErrorString(cudnnStatus_t status) {
  static const auto function = cuda::found(&cudnnGetErrorString, "cudnnGetErrorString");
  return function == nullptr ? "no cuDNN" : function(status);
}

void cudnnGetLastErrorString(char* message, size_t size) {
  static const auto function = cuda::found(&cudnnGetLastErrorString, "cudnnGetLastErrorString");
  if (function != nullptr) return function(message, size);
  if (size > 0) *message = '\0';
}

cudnnStatus_t cudnnCreate(cudnnHandle_t* handle) {
  static const auto function = cuda::found(&cudnnCreate, "cudnnCreate");
  return cuda::pass_on(function, handle);
}

cudnnStatus_t cudnnDestroy(cudnnHandle_t handle) {
  static const auto function = cuda::found(&cudnnDestroy, "cudnnDestroy");
  return cuda::pass_on(function, handle);
}

cudnnStatus_t cudnnSetStream(cudnnHandle_t handle, cudaStream_t stream) {
  static const auto function = cuda::found(&cudnnSetStream, "cudnnSetStream");
  return cuda::pass_on(function, handle, stream);
}

cudnnStatus_t cudnnGetStream(cudnnHandle_t handle, cudaStream_t* stream) {
  static const auto function = cuda::found(&cudnnGetStream, "cudnnGetStream");
  return cuda::pass_on(function, handle, stream);
}

cudnnStatus_t cudnnBackendCreateDescriptor(cudnnBackendDescriptorType_t type,
                                           cudnnBackendDescriptor_t* descriptor) {
  static const auto function =
      cuda::found(&cudnnBackendCreateDescriptor, "cudnnBackendCreateDescriptor");
  return cuda::pass_on(function, type, descriptor);
}

cudnnStatus_t cudnnBackendDestroyDescriptor(cudnnBackendDescriptor_t descriptor) {
  static const auto function =
      cuda::found(&cudnnBackendDestroyDescriptor, "cudnnBackendDestroyDescriptor");
  return cuda::pass_on(function, descriptor);
}

cudnnStatus_t cudnnBackendFinalize(cudnnBackendDescriptor_t descriptor) {
  static const auto function = cuda::found(&cudnnBackendFinalize, "cudnnBackendFinalize");
  return cuda::pass_on(function, descriptor);
}

cudnnStatus_t cudnnBackendSetAttribute(cudnnBackendDescriptor_t descriptor,
                                       cudnnBackendAttributeName_t name,
                                       cudnnBackendAttributeType_t type, int64_t count,
                                       const void* values) {
  static const auto function = cuda::found(&cudnnBackendSetAttribute, "cudnnBackendSetAttribute");
  return cuda::pass_on(function, descriptor, name, type, count, values);
}

cudnnStatus_t cudnnBackendGetAttribute(const cudnnBackendDescriptor_t descriptor,
                                       cudnnBackendAttributeName_t name,
                                       cudnnBackendAttributeType_t type, int64_t room,
                                       int64_t* count, void* values) {
  static const auto function = cuda::found(&cudnnBackendGetAttribute, "cudnnBackendGetAttribute");
  return cuda::pass_on(function, descriptor, name, type, room, count, values);
}

cudnnStatus_t cudnnBackendExecute(cudnnHandle_t handle, cudnnBackendDescriptor_t plan,
                                  cudnnBackendDescriptor_t pack) {
  static const auto function = cuda::found(&cudnnBackendExecute, "cudnnBackendExecute");
  return cuda::pass_on(function, handle, plan, pack);
}

// The frontend also has code for convolutions and norms, which links against what follows and is
// never run.

cudnnStatus_t cudnnCreateFilterDescriptor(cudnnFilterDescriptor_t*) {
  return CUDNN_STATUS_NOT_SUPPORTED;
}
cudnnStatus_t cudnnDestroyFilterDescriptor(cudnnFilterDescriptor_t) {
  return CUDNN_STATUS_NOT_SUPPORTED;
}
cudnnStatus_t cudnnSetFilterNdDescriptor(cudnnFilterDescriptor_t, cudnnDataType_t,
                                         cudnnTensorFormat_t, int, const int[]) {
  return CUDNN_STATUS_NOT_SUPPORTED;
}
cudnnStatus_t cudnnReorderFilterAndBias(cudnnHandle_t, const cudnnFilterDescriptor_t,
                                        cudnnReorderType_t, const void*, void*, int, const void*,
                                        void*) {
  return CUDNN_STATUS_NOT_SUPPORTED;
}

nvrtcResult nvrtcCreateProgram(nvrtcProgram*, const char*, const char*, int, const char* const*,
                               const char* const*) {
  return NVRTC_ERROR_INTERNAL_ERROR;
}
nvrtcResult nvrtcDestroyProgram(nvrtcProgram*) {
  return NVRTC_ERROR_INTERNAL_ERROR;
}
nvrtcResult nvrtcCompileProgram(nvrtcProgram, int, const char* const*) {
  return NVRTC_ERROR_INTERNAL_ERROR;
}
nvrtcResult nvrtcGetCUBIN(nvrtcProgram, char*) {
  return NVRTC_ERROR_INTERNAL_ERROR;
}
nvrtcResult nvrtcGetCUBINSize(nvrtcProgram, size_t*) {
  return NVRTC_ERROR_INTERNAL_ERROR;
}
nvrtcResult nvrtcGetProgramLog(nvrtcProgram, char*) {
  return NVRTC_ERROR_INTERNAL_ERROR;
}
nvrtcResult nvrtcGetProgramLogSize(nvrtcProgram, size_t*) {
  return NVRTC_ERROR_INTERNAL_ERROR;
}
