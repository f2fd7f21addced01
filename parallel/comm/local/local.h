// The communicator of one rank: a collective is at most a copy, and nothing ever waits. Any device.
#pragma once

#include "parallel/comm/communicator.h"

namespace tandem::parallel {

class LocalCommunicator : public Communicator {
 public:
  explicit LocalCommunicator(std::string name) : name_(std::move(name)) {}

  int rank() const override { return 0; }
  int size() const override { return 1; }
  const std::string& name() const override { return name_; }

  Work all_reduce(runtime::Tensor& tensor, ReduceOp op, std::string_view name) override;
  Work reduce_scatter(const runtime::Tensor& input, runtime::Tensor& output, ReduceOp op,
                      std::string_view name) override;
  Work all_gather(const runtime::Tensor& input, runtime::Tensor& output,
                  std::string_view name) override;
  Work broadcast(runtime::Tensor& tensor, int root, std::string_view name) override;
  Work send(const runtime::Tensor& tensor, int peer, std::string_view name) override;
  Work recv(runtime::Tensor& tensor, int peer, std::string_view name) override;
  void barrier(std::string_view name) override {}
  std::unique_ptr<Communicator> split(int color, std::string_view name) override;
  void progress() override {}
  void set_deadline(std::chrono::milliseconds deadline) override {}

 private:
  std::string name_;
};

}  // namespace tandem::parallel
