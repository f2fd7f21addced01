#include "parallel/comm/planned.h"

#include <utility>
#include <vector>

namespace tandem::parallel {

using runtime::Tensor;

namespace {

thread_local TransferObserver* current_observer = nullptr;

// Holds its tensors until somebody waits for it: where others compute meanwhile, the real one may.
class PlannedWork final : public Work::Impl {
 public:
  PlannedWork(std::vector<Tensor> tensors, TransferObserver* observer, std::int64_t transfer)
      : tensors_(std::move(tensors)), observer_(observer), transfer_(transfer) {}
  bool test() override { return true; }
  // What was started before may be waited for after the observer has gone.
  void wait() override {
    if (observer_ != nullptr && current_observer == observer_) observer_->on_wait(transfer_);
    tensors_.clear();
  }
  bool hopeless() const override { return false; }

 private:
  std::vector<Tensor> tensors_;
  TransferObserver* observer_;
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
    return start(OperationKind::kReduceScatter, input, name, {output});
  }
  Work all_gather(const Tensor& input, Tensor& output, std::string_view name) override {
    return start(OperationKind::kAllGather, output, name, {input});
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
  // `counted`: the whole of what moves, which the others are parts of.
  Work start(OperationKind kind, const Tensor& counted, std::string_view name,
             std::vector<Tensor> others = {}) const {
    if (!counted.is_meta()) refuse(name);
    const std::int64_t transfer =
        current_observer == nullptr
            ? 0
            : current_observer->on_start({kind, counted.bytes(), size_, stride_, name_});
    others.push_back(counted);
    return Work(std::make_unique<PlannedWork>(std::move(others), current_observer, transfer));
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
