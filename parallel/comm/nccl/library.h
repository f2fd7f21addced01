// NCCL's functions, from the libnccl.so.2 that the system, LD_LIBRARY_PATH or the program's own lib
// folder has. Opened when first asked for, so that the program starts where there is none.
#pragma once

#include <nccl.h>

#include <string>

namespace tandem::parallel {

struct NcclLibrary {
  decltype(&ncclGetVersion) get_version = nullptr;
  decltype(&ncclGetUniqueId) get_unique_id = nullptr;
  decltype(&ncclCommInitRankConfig) comm_init_rank_config = nullptr;
  decltype(&ncclCommFinalize) comm_finalize = nullptr;
  decltype(&ncclCommDestroy) comm_destroy = nullptr;
  decltype(&ncclCommAbort) comm_abort = nullptr;
  decltype(&ncclCommGetAsyncError) comm_get_async_error = nullptr;
  decltype(&ncclGetErrorString) get_error_string = nullptr;
  decltype(&ncclGetLastError) get_last_error = nullptr;
  decltype(&ncclGroupStart) group_start = nullptr;
  decltype(&ncclGroupEnd) group_end = nullptr;
  decltype(&ncclSend) send = nullptr;
  decltype(&ncclRecv) recv = nullptr;
  decltype(&ncclAllGather) all_gather = nullptr;
  decltype(&ncclBroadcast) broadcast = nullptr;

  int version = 0;      // 22809: 2.28.9
  std::string absence;  // why nothing of it can be used; empty where it can
};

// The same every time.
const NcclLibrary& nccl_library();

}  // namespace tandem::parallel
