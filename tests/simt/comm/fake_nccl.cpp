#include "tests/simt/comm/fake_nccl.h"

#include <unistd.h>

#include <atomic>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <vector>

#include "parallel/comm/nccl/library.h"
#include "parallel/comm/nccl_support.h"
#include "tests/simt/emulator.h"

namespace fs = std::filesystem;
using tandem::parallel::Group;
using tandem::parallel::Work;
using tandem::runtime::DType;
using tandem::runtime::Tensor;

// Ranks of a communicator find each other through a folder, whose name is the id: each leaves its
// rank of the world there.
struct ncclComm {
  fs::path meeting;
  int rank = 0;
  std::vector<int> world_ranks = {};
};

namespace tandem::test {
namespace {

Group world;
NcclTrouble trouble = NcclTrouble::kNone;
std::atomic<int> aborted = 0;

struct Message {
  bool is_send;
  void* data;
  std::size_t bytes;
  int peer;
};
int group_depth = 0;
std::vector<Message> waiting;

ncclResult_t outcome() {
  return trouble == NcclTrouble::kNeverFinishes ? ncclInProgress : ncclSuccess;
}

// Messages of the world, all at once, each in bytes.
void exchange(const std::vector<Message>& messages) {
  simt::drain();
  std::vector<Tensor> received;
  std::vector<Work> works;
  for (const Message& message : messages) {
    Tensor tensor = Tensor::empty({static_cast<std::int64_t>(message.bytes)}, DType::kU8);
    if (message.is_send) {
      std::memcpy(tensor.raw(), message.data, message.bytes);
      works.push_back(world.send(tensor, message.peer, "fake NCCL"));
    } else {
      works.push_back(world.recv(tensor, message.peer, "fake NCCL"));
    }
    received.push_back(tensor);
  }
  for (Work& work : works) work.wait();
  for (std::size_t i = 0; i < messages.size(); ++i)
    if (!messages[i].is_send) std::memcpy(messages[i].data, received[i].raw(), messages[i].bytes);
}

ncclResult_t get_version(int* version) {
  *version = NCCL_VERSION_CODE;
  return ncclSuccess;
}

ncclResult_t get_unique_id(ncclUniqueId* id) {
  static int number = 0;
  const std::string folder = fs::temp_directory_path() / ("fake_nccl_" + std::to_string(getpid()) +
                                                          "_" + std::to_string(number++));
  fs::create_directories(folder);
  std::strncpy(id->internal, folder.c_str(), sizeof(id->internal) - 1);
  return ncclSuccess;
}

ncclResult_t init(ncclComm_t* comm, int ranks, ncclUniqueId id, int rank, ncclConfig_t*) {
  *comm = new ncclComm{.meeting = id.internal, .rank = rank};
  (*comm)->world_ranks.assign(static_cast<std::size_t>(ranks), -1);
  const fs::path own = (*comm)->meeting / std::to_string(rank);
  std::ofstream(own.string() + ".new") << world.rank();
  fs::rename(own.string() + ".new", own);
  return ncclInProgress;
}

bool all_have_come(ncclComm& comm) {
  for (std::size_t r = 0; r < comm.world_ranks.size(); ++r) {
    if (comm.world_ranks[r] >= 0) continue;
    std::ifstream file(comm.meeting / std::to_string(r));
    if (!file) return false;
    file >> comm.world_ranks[r];
  }
  return true;
}

ncclResult_t get_async_error(ncclComm_t comm, ncclResult_t* error) {
  *error = all_have_come(*comm) ? outcome() : ncclInProgress;
  if (trouble == NcclTrouble::kRemoteError) *error = ncclRemoteError;
  return ncclSuccess;
}

ncclResult_t finalize(ncclComm_t) {
  return ncclSuccess;
}
ncclResult_t destroy(ncclComm_t comm) {
  delete comm;
  return ncclSuccess;
}
ncclResult_t abort_communicator(ncclComm_t comm) {
  ++aborted;
  delete comm;
  return ncclSuccess;
}
const char* error_string(ncclResult_t result) {
  return result == ncclRemoteError ? "remote process exited or there was a network error"
                                   : "some error";
}
const char* last_error(ncclComm_t) {
  return "";
}

ncclResult_t group_start() {
  ++group_depth;
  return ncclSuccess;
}
ncclResult_t group_end() {
  if (--group_depth > 0) return ncclSuccess;
  const std::vector<Message> messages = std::move(waiting);
  waiting.clear();
  if (outcome() == ncclSuccess) exchange(messages);
  return outcome();
}

ncclResult_t post(ncclComm_t comm, const Message& message) {
  waiting.push_back(message);
  waiting.back().peer = comm->world_ranks[static_cast<std::size_t>(message.peer)];
  return ncclSuccess;
}

ncclResult_t send(const void* data, std::size_t count, ncclDataType_t, int peer, ncclComm_t comm,
                  cudaStream_t) {
  return post(comm, {true, const_cast<void*>(data), count, peer});
}
ncclResult_t recv(void* data, std::size_t count, ncclDataType_t, int peer, ncclComm_t comm,
                  cudaStream_t) {
  return post(comm, {false, data, count, peer});
}

ncclResult_t all_gather(const void* input, void* output, std::size_t count, ncclDataType_t,
                        ncclComm_t comm, cudaStream_t stream) {
  group_start();
  const auto ranks = static_cast<int>(comm->world_ranks.size());
  const auto part = [&](int r) {
    return static_cast<char*>(output) + static_cast<std::size_t>(r) * count;
  };
  for (int r = 0; r < ranks; ++r) {
    if (r == comm->rank) continue;
    send(input, count, ncclUint8, r, comm, stream);
    recv(part(r), count, ncclUint8, r, comm, stream);
  }
  simt::drain();
  if (part(comm->rank) != input) std::memcpy(part(comm->rank), input, count);
  return group_end();
}

ncclResult_t broadcast(const void* input, void* output, std::size_t count, ncclDataType_t, int root,
                       ncclComm_t comm, cudaStream_t stream) {
  group_start();
  const auto ranks = static_cast<int>(comm->world_ranks.size());
  if (comm->rank != root) recv(output, count, ncclUint8, root, comm, stream);
  for (int r = 0; r < ranks && comm->rank == root; ++r)
    if (r != root) send(input, count, ncclUint8, r, comm, stream);
  return group_end();
}

}  // namespace

void use_fake_nccl(const parallel::Group& ranks) {
  world = ranks;
}
void set_nccl_trouble(NcclTrouble wanted) {
  trouble = wanted;
}
int aborted_nccl_communicators() {
  return aborted;
}

}  // namespace tandem::test

namespace tandem::parallel {

const NcclLibrary& nccl_library() {
  static const NcclLibrary library{.get_version = test::get_version,
                                   .get_unique_id = test::get_unique_id,
                                   .comm_init_rank_config = test::init,
                                   .comm_finalize = test::finalize,
                                   .comm_destroy = test::destroy,
                                   .comm_abort = test::abort_communicator,
                                   .comm_get_async_error = test::get_async_error,
                                   .get_error_string = test::error_string,
                                   .get_last_error = test::last_error,
                                   .group_start = test::group_start,
                                   .group_end = test::group_end,
                                   .send = test::send,
                                   .recv = test::recv,
                                   .all_gather = test::all_gather,
                                   .broadcast = test::broadcast,
                                   .version = NCCL_VERSION_CODE,
                                   .absence = ""};
  return library;
}

std::string nccl_absence() {
  return "";
}
std::string nccl_version() {
  return "fake";
}

}  // namespace tandem::parallel
