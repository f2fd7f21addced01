#include "parallel/comm/planned.h"

namespace tandem::parallel {

using runtime::Tensor;

namespace {

thread_local TransferObserver* current_observer = nullptr;

class PlannedWork final : public Work::Impl {
 public:
  PlannedWork(TransferObserver& observer, std::int64_t transfer)
      : observer_(observer), transfer_(transfer) {}
  bool test() override { return true; }
  // What was started before may be waited for after the observer has gone.
  void wait() override {
    if (current_observer == &observer_) observer_.on_wait(transfer_);
  }
  bool hopeless() const override { return false; }

 private:
  TransferObserver& observer_;
  std::int64_t transfer_;
};

class PlannedCommunicator : public Communicator {
 public:
  PlannedCommunicator(int rank, int size, std::string name, int stride)
      : rank_(rank), size_(size), name_(std::move(name)), stride_(stride) {}

  int rank() const override { return rank_; }
  int size() const override { return size_; }
  const std::string& name() const override { return name_; }

  Work all_reduce(Tensor& tensor, ReduceOp op, std::string_view name) override {
    return start(OperationKind::kAllReduce, tensor, name);
  }
  Work reduce_scatter(const Tensor& input, Tensor& output, ReduceOp op,
                      std::string_view name) override {
    return start(OperationKind::kReduceScatter, input, name);
  }
  Work all_gather(const Tensor& input, Tensor& output, std::string_view name) override {
    return start(OperationKind::kAllGather, output, name);
  }
  Work broadcast(Tensor& tensor, int root, std::string_view name) override {
    return start(OperationKind::kBroadcast, tensor, name);
  }
  Work send(const Tensor& tensor, int peer, std::string_view name) override {
    return start(OperationKind::kSend, tensor, name);
  }
  Work recv(Tensor& tensor, int peer, std::string_view name) override {
    return start(OperationKind::kRecv, tensor, name);
  }
  void barrier(std::string_view name) override {}
  std::unique_ptr<Communicator> split(int color, std::string_view name) override { refuse(name); }
  void progress() override {}
  void set_deadline(std::chrono::milliseconds deadline) override {}
  bool on_paper() const override { return true; }

 private:
  Work start(OperationKind kind, const Tensor& tensor, std::string_view name) const {
    if (!tensor.is_meta()) refuse(name);
    if (current_observer == nullptr) return {};
    const std::int64_t transfer =
        current_observer->on_start({kind, tensor.bytes(), size_, stride_, name_});
    return Work(std::make_unique<PlannedWork>(*current_observer, transfer));
  }

  [[noreturn]] void refuse(std::string_view name) const {
    throw runtime::InternalError(fmt::format(
        "'{}': group '{}' exists on paper only and moves meta tensors alone", name, name_));
  }

  int rank_;
  int size_;
  std::string name_;
  int stride_;
};

}  // namespace

TransferObserverScope::TransferObserverScope(TransferObserver* observer)
    : previous_(current_observer) {
  current_observer = observer;
}

TransferObserverScope::~TransferObserverScope() {
  current_observer = previous_;
}

Group planned_group(int rank, int size, std::string name, int stride) {
  TANDEM_CHECK(rank >= 0 && rank < size, "planned group '{}' of {} ranks has no rank {}", name,
               size, rank);
  return Group(std::make_shared<PlannedCommunicator>(rank, size, std::move(name), stride));
}

}  // namespace tandem::parallel
