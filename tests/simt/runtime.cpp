// CUDA's run-time library over the host's memory.
#include <cuda_runtime.h>
#include <cxxabi.h>
#include <dlfcn.h>
#include <unistd.h>

#include <cstdlib>
#include <exception>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "tests/simt/emulator.h"
#include "tests/simt/memory.h"
#include "tests/simt/scheduler.h"
#include "tests/simt/streams.h"

using simt::Mark;
using simt::StreamQueue;

struct CUstream_st : StreamQueue {};
struct CUevent_st {
  Mark mark;  // of the last record
};
using Work = std::vector<std::function<void()>>;
struct CUgraph_st {
  Work work;
};
struct CUgraphExec_st {
  Work work;
};

namespace simt {
namespace {

struct Card {
  std::vector<StreamQueue*> streams;
  // What belongs to no stream: it comes after all that was submitted before.
  StreamQueue common;
  std::exception_ptr failure;                      // of what cannot throw
  std::map<const void*, std::size_t> more_shared;  // what kernels have asked for
  std::map<const void*, std::string> names;
  std::set<std::string> executed;
  std::map<void*, std::size_t> memory;
  std::size_t limit = std::size_t{1} << 40, used = 0;
  cudaError_t last_error = cudaSuccess;
  int device = 0;
  bool stalled = false;
  // What is submitted while a graph is recorded, and whether something else was asked for.
  Work* recording = nullptr;
  bool recording_failed = false;
  cudaStreamCaptureMode capture_mode = cudaStreamCaptureModeGlobal;
  int graph_launches = 0;
};

// The card, for one thread at a time.
class Access {
 public:
  Card* operator->() const { return &card_; }

 private:
  static std::recursive_mutex& mutex() {
    static std::recursive_mutex& instance = *new std::recursive_mutex;
    return instance;
  }
  static Card& instance() {
    static Card& instance = *new Card;  // static objects free memory at the end
    return instance;
  }

  std::unique_lock<std::recursive_mutex> lock_{mutex()};
  Card& card_ = instance();
};

Access card() {
  return {};
}

cudaError_t remember(cudaError_t error) {
  if (error != cudaSuccess) card()->last_error = error;
  return error;
}

// What a card refuses while it records, and then the recording too.
cudaError_t refused_while_recording() {
  if (card()->recording == nullptr) return cudaSuccess;
  card()->recording_failed = true;
  return remember(cudaErrorStreamCaptureUnsupported);
}

// Owners free memory in destructors, which must not throw: what goes wrong is thrown by the next
// wait.
void report_later(const std::function<void()>& work) {
  try {
    work();
  } catch (...) {
    card()->failure = std::current_exception();
  }
}

void throw_failure() {
  if (const auto failure = std::exchange(card()->failure, nullptr)) std::rethrow_exception(failure);
}

StreamQueue& queue_of(cudaStream_t stream) {
  return stream == nullptr ? card()->common : *stream;
}

// What was submitted to `queue` so far has run. Other streams run as far as that waits for them and
// no further: a wait that is missing shows.
void finish(StreamQueue& queue) {
  const Access card;
  throw_failure();
  queue.pass(queue.mark());
  card->common.run_ready();
}

// "void tandem::runtime::cuda::scale_kernel<float>(float*, …)" → "scale_kernel"
std::string plain_name(std::string name) {
  name = name.substr(0, name.find_first_of("<("));
  if (const auto at = name.rfind("::"); at != std::string::npos) name = name.substr(at + 2);
  if (const auto at = name.rfind(' '); at != std::string::npos) name = name.substr(at + 1);
  return name;
}

const std::string& name_of(const void* kernel) {
  const Access card;
  std::string& name = card->names[kernel];
  if (!name.empty()) return name;
  Dl_info info = {};
  name = std::string("?");
  if (dladdr(kernel, &info) != 0 && info.dli_sname != nullptr) {
    int status = 0;
    char* readable = abi::__cxa_demangle(info.dli_sname, nullptr, nullptr, &status);
    name = plain_name(status == 0 ? readable : info.dli_sname);
    std::free(readable);
  }
  return name;
}

}  // namespace

void enqueue(std::function<void()> work, cudaStream_t stream, std::function<bool()> ready) {
  const Access card;
  if (card->recording != nullptr)
    card->recording->push_back(std::move(work));
  else
    queue_of(stream).push(std::move(work), {}, std::move(ready));
}

void enqueue(std::function<void()> work) {
  const Access card;
  std::vector<Mark> before;
  for (StreamQueue* stream : card->streams) before.push_back(stream->mark());
  card->common.push(std::move(work), std::move(before));
}

int graph_launches() {
  return card()->graph_launches;
}

void drain(cudaStream_t stream) {
  finish(queue_of(stream));
}

void drain() {
  const Access card;
  throw_failure();
  for (bool some = true; some;) {
    some = card->common.run_all();
    for (std::size_t i = 0; i < card->streams.size(); ++i) some |= card->streams[i]->run_all();
  }
}

const std::set<std::string>& executed_kernels() {
  return card()->executed;
}

void set_stalled(bool stalled) {
  card()->stalled = stalled;
}

void set_memory_limit(std::size_t bytes) {
  card()->limit = bytes;
}

cudaError_t submit(const cudaLaunchConfig_t& config, const void* kernel,
                   std::function<void()> thread) {
  const dim3 grid = config.gridDim, block = config.blockDim;
  const std::size_t threads = static_cast<std::size_t>(block.x) * block.y * block.z;
  const std::size_t shared_limit = std::max(kPlainSharedBytes, card()->more_shared[kernel]);
  const bool possible = grid.x > 0 && grid.y > 0 && grid.z > 0 && grid.x <= 0x7fffffffu &&
                        grid.y <= 65535 && grid.z <= 65535 && threads > 0 && threads <= 1024 &&
                        block.z <= 64 && config.dynamicSmemBytes <= shared_limit;
  if (!possible) return remember(cudaErrorInvalidConfiguration);
  enqueue(
      [launch = Launch{name_of(kernel), grid, block, config.dynamicSmemBytes, std::move(thread)}] {
        card()->executed.insert(launch.name);
        run(launch);
      },
      config.stream);
  return cudaSuccess;
}

}  // namespace simt

using simt::card;
using simt::refused_while_recording;
using simt::remember;

cudaError_t cudaGetDeviceCount(int* count) {
  *count = 1;
  return cudaSuccess;
}
cudaError_t cudaSetDevice(int device) {
  return device == 0 ? cudaSuccess : remember(cudaErrorInvalidDevice);
}
cudaError_t cudaGetDevice(int* device) {
  *device = 0;
  return cudaSuccess;
}
// A card of its own for every process.
cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int device) {
  *properties = {};
  const pid_t id = getpid();
  std::memcpy(properties->uuid.bytes, &id, sizeof(id));
  return device == 0 ? cudaSuccess : remember(cudaErrorInvalidDevice);
}
cudaError_t cudaGetLastError() {
  return std::exchange(card()->last_error, cudaSuccess);
}
const char* cudaGetErrorName(cudaError_t error) {
  return error == cudaErrorMemoryAllocation ? "cudaErrorMemoryAllocation" : "cudaError";
}
const char* cudaGetErrorString(cudaError_t error) {
  return error == cudaErrorMemoryAllocation       ? "out of memory"
         : error == cudaErrorInvalidConfiguration ? "invalid configuration argument"
                                                  : "emulated error";
}

cudaError_t cudaMalloc(void** pointer, std::size_t bytes) {
  const auto lock = card();
  if (card()->capture_mode != cudaStreamCaptureModeRelaxed)
    if (const cudaError_t error = refused_while_recording(); error != cudaSuccess) return error;
  if (card()->used + bytes > card()->limit) return remember(cudaErrorMemoryAllocation);
  *pointer = simt::allocate_guarded(bytes);
  card()->memory[*pointer] = bytes;
  card()->used += bytes;
  return cudaSuccess;
}
cudaError_t cudaFree(void* pointer) {
  if (pointer == nullptr) return cudaSuccess;
  const auto lock = card();
  if (const cudaError_t error = refused_while_recording(); error != cudaSuccess) return error;
  simt::report_later([] { simt::drain(); });
  const auto found = card()->memory.find(pointer);
  if (found == card()->memory.end()) return remember(cudaErrorInvalidValue);
  card()->used -= found->second;
  simt::report_later([&] { simt::release_guarded(pointer, found->second); });
  card()->memory.erase(found);
  return cudaSuccess;
}
cudaError_t cudaHostAlloc(void** pointer, std::size_t bytes, unsigned) {
  *pointer = std::aligned_alloc(4096, (bytes + 4095) / 4096 * 4096);
  return *pointer == nullptr ? remember(cudaErrorMemoryAllocation) : cudaSuccess;
}
cudaError_t cudaFreeHost(void* pointer) {
  std::free(pointer);
  return cudaSuccess;
}
cudaError_t cudaMemGetInfo(std::size_t* free, std::size_t* total) {
  *total = card()->limit;
  *free = card()->limit - card()->used;
  return cudaSuccess;
}
cudaError_t cudaMemcpyAsync(void* to, const void* from, std::size_t bytes, cudaMemcpyKind,
                            cudaStream_t stream) {
  simt::enqueue([=] { std::memcpy(to, from, bytes); }, stream);
  return cudaSuccess;
}
cudaError_t cudaMemsetAsync(void* to, int value, std::size_t bytes, cudaStream_t stream) {
  simt::enqueue([=] { std::memset(to, value, bytes); }, stream);
  return cudaSuccess;
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned) {
  const auto lock = card();
  *stream = new CUstream_st;
  card()->streams.push_back(*stream);
  return cudaSuccess;
}
cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  const auto lock = card();
  simt::report_later([&] { simt::drain(); });
  std::erase(card()->streams, stream);
  delete stream;
  return cudaSuccess;
}
cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  if (const cudaError_t error = refused_while_recording(); error != cudaSuccess) return error;
  simt::drain(stream);
  return cudaSuccess;
}
cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned) {
  const auto lock = card();
  if (event->mark != nullptr) simt::queue_of(stream).push([] {}, {event->mark});
  return cudaSuccess;
}
cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned) {
  *event = new CUevent_st;
  return cudaSuccess;
}
cudaError_t cudaEventDestroy(cudaEvent_t event) {
  delete event;
  return cudaSuccess;
}
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
  const auto lock = card();
  event->mark = simt::queue_of(stream).mark();
  return cudaSuccess;
}
cudaError_t cudaEventSynchronize(cudaEvent_t event) {
  if (const cudaError_t error = refused_while_recording(); error != cudaSuccess) return error;
  const auto lock = card();
  simt::throw_failure();
  if (event->mark != nullptr) simt::pass(event->mark);
  card()->common.run_ready();
  return cudaSuccess;
}
// Whatever is asked about gets done by asking, if it can be.
cudaError_t cudaEventQuery(cudaEvent_t event) {
  if (const cudaError_t error = refused_while_recording(); error != cudaSuccess) return error;
  const auto lock = card();
  if (card()->stalled) return cudaErrorNotReady;
  simt::throw_failure();
  if (event->mark != nullptr && !simt::try_pass(event->mark)) return cudaErrorNotReady;
  card()->common.run_ready();
  return cudaSuccess;
}

cudaError_t cudaStreamBeginCapture(cudaStream_t, cudaStreamCaptureMode) {
  const auto lock = card();
  if (card()->recording != nullptr) return remember(cudaErrorInvalidValue);
  card()->recording = new Work;
  card()->recording_failed = false;
  return cudaSuccess;
}
cudaError_t cudaStreamEndCapture(cudaStream_t, cudaGraph_t* graph) {
  const auto lock = card();
  const std::unique_ptr<Work> work(std::exchange(card()->recording, nullptr));
  *graph = nullptr;
  if (work == nullptr) return remember(cudaErrorInvalidValue);
  if (card()->recording_failed) return remember(cudaErrorStreamCaptureInvalidated);
  *graph = new CUgraph_st{std::move(*work)};
  return cudaSuccess;
}
cudaError_t cudaThreadExchangeStreamCaptureMode(cudaStreamCaptureMode* mode) {
  *mode = std::exchange(card()->capture_mode, *mode);
  return cudaSuccess;
}
cudaError_t cudaGraphInstantiate(cudaGraphExec_t* executable, cudaGraph_t graph,
                                 unsigned long long) {
  *executable = new CUgraphExec_st{graph->work};
  return cudaSuccess;
}
cudaError_t cudaGraphLaunch(cudaGraphExec_t executable, cudaStream_t stream) {
  ++card()->graph_launches;
  for (const auto& work : executable->work) simt::enqueue(work, stream);
  return cudaSuccess;
}
cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
  delete graph;
  return cudaSuccess;
}
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t executable) {
  delete executable;
  return cudaSuccess;
}

cudaError_t cudaFuncSetAttribute(const void* kernel, cudaFuncAttribute, int value) {
  if (value < 0 || static_cast<std::size_t>(value) > simt::kMaxSharedBytes)
    return remember(cudaErrorInvalidValue);
  card()->more_shared[kernel] = static_cast<std::size_t>(value);
  return cudaSuccess;
}
cudaError_t cudaFuncGetName(const char** name, const void* kernel) {
  *name = simt::name_of(kernel).c_str();
  return cudaSuccess;
}
