#include "tests/simt/comm/fake_nccl.h"

#include <fmt/format.h>
#include <unistd.h>

#include <atomic>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <memory>
#include <utility>
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
  int sent = 0, received = 0;  // of messages that nothing comes back for
  std::shared_ptr<std::atomic<bool>> aborted = std::make_shared<std::atomic<bool>>(false);
};

namespace tandem::test {
namespace {

Group world;
NcclTrouble trouble = NcclTrouble::kNone;
std::atomic<int> aborted = 0, messages_alone = 0;

struct Message {
  bool is_send;
  void* data;
  std::size_t bytes;
  int peer;
  ncclComm_t comm;
  int rank;  // of the peer in `comm`
};
int group_depth = 0;
cudaStream_t group_stream = nullptr;
bool collective = false;  // the group is one call of all ranks
std::vector<Message> waiting;

ncclResult_t outcome() {
  return trouble == NcclTrouble::kNeverFinishes ? ncclInProgress : ncclSuccess;
}

// Messages of the world, all at once, each in bytes. What is sent is what the stream has waited
// for; what is received is there when the stream comes to it.
void exchange(const std::vector<Message>& messages, cudaStream_t stream) {
  simt::drain(stream);
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
    if (!messages[i].is_send)
      simt::enqueue([to = messages[i].data, from = received[i],
                     bytes = messages[i].bytes] { std::memcpy(to, from.raw(), bytes); },
                    stream);
}

// A message that nothing comes back for lies in a file of the communicator's meeting until it is
// received: its sender waits for nobody.
void send_alone(const Message& message, cudaStream_t stream) {
  simt::drain(stream);
  ncclComm& comm = *message.comm;
  const fs::path path =
      comm.meeting / fmt::format("{} to {}, {}", comm.rank, message.rank, comm.sent++);
  std::ofstream(path.string() + ".new", std::ios::binary)
      .write(static_cast<const char*>(message.data), static_cast<std::streamsize>(message.bytes));
  fs::rename(path.string() + ".new", path);
  ++messages_alone;
}
void receive_alone(const Message& message, cudaStream_t stream) {
  ncclComm& comm = *message.comm;
  const fs::path path =
      comm.meeting / fmt::format("{} to {}, {}", message.rank, comm.rank, comm.received++);
  const auto read = [=] {
    std::ifstream(path, std::ios::binary)
        .read(static_cast<char*>(message.data), static_cast<std::streamsize>(message.bytes));
    fs::remove(path);
  };
  simt::enqueue(read, stream,
                [path, aborted = comm.aborted] { return *aborted || fs::exists(path); });
}

// Where ranks meet that this process leads; gone with it, when all are through.
class MeetingPlaces {
 public:
  ~MeetingPlaces() {
    std::error_code ignored;
    for (const fs::path& place : places_) fs::remove_all(place, ignored);
  }
  fs::path make() {
    const fs::path place =
        fs::temp_directory_path() / fmt::format("fake_nccl_{}_{}", getpid(), places_.size());
    fs::create_directories(place);
    return places_.emplace_back(place);
  }

 private:
  std::vector<fs::path> places_;
};

ncclResult_t get_version(int* version) {
  *version = NCCL_VERSION_CODE;
  return ncclSuccess;
}

ncclResult_t get_unique_id(ncclUniqueId* id) {
  static MeetingPlaces places;
  std::strncpy(id->internal, places.make().c_str(), sizeof(id->internal) - 1);
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
  *comm->aborted = true;
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
  const bool together = std::exchange(collective, false) || messages.size() > 1;
  if (outcome() != ncclSuccess) return outcome();
  if (together)
    exchange(messages, group_stream);
  else
    for (const Message& message : messages)
      (message.is_send ? send_alone : receive_alone)(message, group_stream);
  return outcome();
}

ncclResult_t post(ncclComm_t comm, const Message& message, cudaStream_t stream) {
  group_stream = stream;
  waiting.push_back(message);
  waiting.back().peer = comm->world_ranks[static_cast<std::size_t>(message.rank)];
  return ncclSuccess;
}

ncclResult_t send(const void* data, std::size_t count, ncclDataType_t, int peer, ncclComm_t comm,
                  cudaStream_t stream) {
  return post(comm, {true, const_cast<void*>(data), count, -1, comm, peer}, stream);
}
ncclResult_t recv(void* data, std::size_t count, ncclDataType_t, int peer, ncclComm_t comm,
                  cudaStream_t stream) {
  return post(comm, {false, data, count, -1, comm, peer}, stream);
}

ncclResult_t all_gather(const void* input, void* output, std::size_t count, ncclDataType_t,
                        ncclComm_t comm, cudaStream_t stream) {
  group_start();
  collective = true;
  const auto ranks = static_cast<int>(comm->world_ranks.size());
  const auto part = [&](int r) {
    return static_cast<char*>(output) + static_cast<std::size_t>(r) * count;
  };
  for (int r = 0; r < ranks; ++r) {
    if (r == comm->rank) continue;
    send(input, count, ncclUint8, r, comm, stream);
    recv(part(r), count, ncclUint8, r, comm, stream);
  }
  if (void* own = part(comm->rank); own != input)
    simt::enqueue([=] { std::memcpy(own, input, count); }, stream);
  return group_end();
}

ncclResult_t broadcast(const void* input, void* output, std::size_t count, ncclDataType_t, int root,
                       ncclComm_t comm, cudaStream_t stream) {
  group_start();
  collective = true;
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
int nccl_messages_alone() {
  return messages_alone;
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
