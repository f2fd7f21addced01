#include "parallel/comm/nccl/library.h"

#include <dlfcn.h>
#include <fmt/format.h>

#include <cstdlib>

#include "parallel/comm/nccl_support.h"

namespace tandem::parallel {

namespace {

constexpr int kOldestVersion = NCCL_VERSION(2, 19, 0);

std::string version_text(int version) {
  return fmt::format("{}.{}.{}", version / 10000, version / 100 % 100, version % 100);
}

template <typename Function>
bool find(void* library, const char* name, Function& function) {
  function = reinterpret_cast<Function>(dlsym(library, name));
  return function != nullptr;
}

bool find_all(void* library, NcclLibrary& nccl) {
  return find(library, "ncclGetVersion", nccl.get_version) &&
         find(library, "ncclGetUniqueId", nccl.get_unique_id) &&
         find(library, "ncclCommInitRankConfig", nccl.comm_init_rank_config) &&
         find(library, "ncclCommFinalize", nccl.comm_finalize) &&
         find(library, "ncclCommDestroy", nccl.comm_destroy) &&
         find(library, "ncclCommAbort", nccl.comm_abort) &&
         find(library, "ncclCommGetAsyncError", nccl.comm_get_async_error) &&
         find(library, "ncclGetErrorString", nccl.get_error_string) &&
         find(library, "ncclGetLastError", nccl.get_last_error) &&
         find(library, "ncclGroupStart", nccl.group_start) &&
         find(library, "ncclGroupEnd", nccl.group_end) && find(library, "ncclSend", nccl.send) &&
         find(library, "ncclRecv", nccl.recv) && find(library, "ncclAllGather", nccl.all_gather) &&
         find(library, "ncclBroadcast", nccl.broadcast);
}

NcclLibrary open_library() {
  NcclLibrary nccl;
  const char* chosen = std::getenv("TANDEM_NCCL_LIBRARY");
  const char* name = chosen != nullptr ? chosen : "libnccl.so.2";
  void* library = dlopen(name, RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) {
    nccl.absence = fmt::format("no NCCL: {}", dlerror());
    return nccl;
  }
  if (!find_all(library, nccl) || nccl.get_version(&nccl.version) != ncclSuccess ||
      nccl.version < kOldestVersion)
    nccl.absence = fmt::format("{} is older than NCCL {}", name, version_text(kOldestVersion));
  return nccl;
}

}  // namespace

const NcclLibrary& nccl_library() {
  static const NcclLibrary library = open_library();
  return library;
}

std::string nccl_absence() {
  return nccl_library().absence;
}

std::string nccl_version() {
  return version_text(nccl_library().version);
}

}  // namespace tandem::parallel
