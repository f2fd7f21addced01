#include "parallel/comm/mpi/mpi.h"

#include <sched.h>
#include <sys/prctl.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <numeric>

#include "parallel/comm/mpi/mpi_communicator.h"
#include "runtime/base/log.h"

namespace tandem::parallel {

namespace {

constexpr int kKeepTheUsersValue = 0;

// Open MPI reads these in MPI_Init; other implementations ignore them.
void set_mpi_parameters() {
  setenv("OMPI_MCA_mpi_yield_when_idle", "1", kKeepTheUsersValue);
  // Copies between processes need rights that containers often withhold, and ranks of one machine
  // have their own way.
  setenv("OMPI_MCA_btl_vader_single_copy_mechanism", "none", kKeepTheUsersValue);
}

bool shared_memory_allowed() {
  const char* setting = std::getenv("TANDEM_SHARED_MEMORY");
  if (setting == nullptr || std::string_view(setting) == "on") return true;
  if (std::string_view(setting) == "off") return false;
  runtime::throw_error("TANDEM_SHARED_MEMORY is '{}': write on or off", setting);
}

int usable_cores() {
  cpu_set_t cores;
  return sched_getaffinity(0, sizeof(cores), &cores) == 0 ? CPU_COUNT(&cores) : 1;
}

int largest_tag(MPI_Comm comm) {
  void* value = nullptr;
  int found = 0;
  check_mpi(MPI_Comm_get_attr(comm, MPI_TAG_UB, &value, &found), "MPI_Comm_get_attr");
  return found ? *static_cast<int*>(value) : 32767;
}

// World ranks of this machine, in order.
std::vector<int> ranks_of_this_machine(MPI_Comm world, int rank) {
  MPI_Comm local = MPI_COMM_NULL;
  check_mpi(MPI_Comm_split_type(world, MPI_COMM_TYPE_SHARED, rank, MPI_INFO_NULL, &local),
            "MPI_Comm_split_type");
  int size = 0;
  MPI_Comm_size(local, &size);
  std::vector<int> ranks(size);
  check_mpi(MPI_Allgather(&rank, 1, MPI_INT, ranks.data(), 1, MPI_INT, local), "MPI_Allgather");
  MPI_Comm_free(&local);
  return ranks;
}

}  // namespace

class MpiRuntime::Transport {
 public:
  Transport(int* argc, char*** argv) {
    set_mpi_parameters();
    // Naps of 20 µs would last 70 µs with the usual slack of 50 µs.
    prctl(PR_SET_TIMERSLACK, 1000);
    int provided = 0;
    check_mpi(MPI_Init_thread(argc, argv, MPI_THREAD_FUNNELED, &provided), "MPI_Init_thread");
    check_mpi(MPI_Comm_dup(MPI_COMM_WORLD, &comm_), "MPI_Comm_dup");
    check_mpi(MPI_Comm_set_errhandler(comm_, MPI_ERRORS_RETURN), "MPI_Comm_set_errhandler");
    MPI_Comm_rank(comm_, &rank_);
    MPI_Comm_size(comm_, &size_);
    local_ranks_ = ranks_of_this_machine(comm_, rank_);
    start_endpoint();
  }

  ~Transport() {
    MPI_Comm_free(&comm_);
    MPI_Finalize();
  }

  const std::vector<int>& local_ranks() const { return local_ranks_; }
  int rank() const { return rank_; }

  // The world of all ranks; through shared memory where they all sit on one machine.
  std::shared_ptr<Communicator> make_world() {
    if (size_ == 1) return nullptr;
    auto plain = std::make_shared<MpiCommunicator>(shared_, all_ranks());
    if (!shared_memory_allowed()) return plain;
    share_board(borrow(*plain));
    if (static_cast<int>(local_ranks_.size()) < size_) return plain;
    return plain->split(0, "world");
  }

 private:
  void start_endpoint() {
    const bool crowded = static_cast<int>(local_ranks_.size()) > usable_cores();
    shared_->node.endpoint = std::make_shared<Endpoint>(crowded);
    shared_->node.endpoint->add(&shared_->transport);
  }

  SharedMpiGroup all_ranks() {
    MpiGroupState base;
    base.comm = comm_;
    base.tags = TagSpace(largest_tag(comm_));
    GroupState members;
    members.name = "world";
    members.rank = rank_;
    members.world_ranks.resize(size_);
    std::iota(members.world_ranks.begin(), members.world_ranks.end(), 0);
    return make_mpi_group(base, members, shared_->next_context++);
  }

  void share_board(const Group& world) {
    GroupState all, machine;
    all.world_ranks.resize(size_);
    std::iota(all.world_ranks.begin(), all.world_ranks.end(), 0);
    machine.name = "machine";
    machine.world_ranks = local_ranks_;
    const auto own = std::find(local_ranks_.begin(), local_ranks_.end(), rank_);
    machine.rank = static_cast<int>(own - local_ranks_.begin());

    const int ranks = static_cast<int>(local_ranks_.size());
    const auto memory = share_memory(world, all, &machine, NodeBoard::bytes(ranks));
    SharedNode& node = shared_->node;
    node.board = std::shared_ptr<NodeBoard>(memory, reinterpret_cast<NodeBoard*>(memory->data()));
    node.endpoint->use_board(node.board, machine.rank);
    node.bell_of_rank.assign(size_, -1);
    for (int i = 0; i < ranks; ++i) node.bell_of_rank[local_ranks_[i]] = i;
  }

  std::shared_ptr<MpiShared> shared_ = std::make_shared<MpiShared>();
  MPI_Comm comm_ = MPI_COMM_NULL;
  int rank_ = 0;
  int size_ = 1;
  std::vector<int> local_ranks_;
};

MpiRuntime::MpiRuntime(int* argc, char*** argv)
    : transport_(std::make_unique<Transport>(argc, argv)),
      exceptions_at_start_(std::uncaught_exceptions()) {
  if (auto world = transport_->make_world()) world_ = Group(std::move(world));
  const auto& local = transport_->local_ranks();
  local_rank_ =
      static_cast<int>(std::find(local.begin(), local.end(), transport_->rank()) - local.begin());
  local_size_ = static_cast<int>(local.size());
}

MpiRuntime::~MpiRuntime() {
  if (std::uncaught_exceptions() > exceptions_at_start_) {
    static_cast<void>(transport_.release());
    return;
  }
  try {
    // MPI_Finalize waits without a deadline and without naming anyone.
    world_.barrier("end of the program");
  } catch (const std::exception& error) {
    runtime::log_error("{}", error.what());
    abort(1);
  }
}

void MpiRuntime::abort(int exit_code) {
  std::fflush(nullptr);
  MPI_Abort(MPI_COMM_WORLD, exit_code);
  std::_Exit(exit_code);
}

}  // namespace tandem::parallel
