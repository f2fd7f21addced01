// A group on paper. Group itself lets meta tensors pass without asking the communicator, so
// whatever arrives here is a mistake of the caller.
#include "parallel/comm/communicator.h"

namespace tandem::parallel {

using runtime::Tensor;

namespace {

class PlannedCommunicator : public Communicator {
 public:
  PlannedCommunicator(int rank, int size, std::string name)
      : rank_(rank), size_(size), name_(std::move(name)) {}

  int rank() const override { return rank_; }
  int size() const override { return size_; }
  const std::string& name() const override { return name_; }

  Work all_reduce(Tensor& tensor, ReduceOp op, std::string_view name) override { refuse(name); }
  Work reduce_scatter(const Tensor& input, Tensor& output, ReduceOp op,
                      std::string_view name) override {
    refuse(name);
  }
  Work all_gather(const Tensor& input, Tensor& output, std::string_view name) override {
    refuse(name);
  }
  Work broadcast(Tensor& tensor, int root, std::string_view name) override { refuse(name); }
  Work send(const Tensor& tensor, int peer, std::string_view name) override { refuse(name); }
  Work recv(Tensor& tensor, int peer, std::string_view name) override { refuse(name); }
  void barrier(std::string_view name) override {}
  std::unique_ptr<Communicator> split(int color, std::string_view name) override { refuse(name); }
  void progress() override {}
  void set_deadline(std::chrono::milliseconds deadline) override {}
  bool on_paper() const override { return true; }

 private:
  [[noreturn]] void refuse(std::string_view name) const {
    throw runtime::InternalError(fmt::format(
        "'{}': group '{}' exists on paper only and moves meta tensors alone", name, name_));
  }

  int rank_;
  int size_;
  std::string name_;
};

}  // namespace

Group planned_group(int rank, int size, std::string name) {
  TANDEM_CHECK(rank >= 0 && rank < size, "planned group '{}' of {} ranks has no rank {}", name,
               size, rank);
  return Group(std::make_shared<PlannedCommunicator>(rank, size, std::move(name)));
}

}  // namespace tandem::parallel
