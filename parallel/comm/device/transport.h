// How tensors on GPUs travel between the ranks of one group: `nccl/`, from card to card, or
// `device/staged`, through the host.
#pragma once

#include <memory>

#include "parallel/comm/communicator.h"

namespace tandem::parallel {

// The device's half of a communicator, which sees only tensors of the device. Same promises.
class DeviceTransport {
 public:
  virtual ~DeviceTransport() = default;

  virtual Work all_reduce(runtime::Tensor& tensor, ReduceOp op, std::string_view name) = 0;
  virtual Work reduce_scatter(const runtime::Tensor& input, runtime::Tensor& output, ReduceOp op,
                              std::string_view name) = 0;
  virtual Work all_gather(const runtime::Tensor& input, runtime::Tensor& output,
                          std::string_view name) = 0;
  virtual Work broadcast(runtime::Tensor& tensor, int root, std::string_view name) = 0;
  virtual Work send(const runtime::Tensor& tensor, int peer, std::string_view name) = 0;
  virtual Work recv(runtime::Tensor& tensor, int peer, std::string_view name) = 0;
  // `host`: the group for tensors of the host.
  virtual void connect_ring(const Group& /*host*/, int /*step*/) {}

  // The same for a group that was split off this one. Collective over `host`, which is that group
  // for tensors of the host.
  virtual std::unique_ptr<DeviceTransport> for_group(const Group& host) = 0;
  virtual void set_deadline(std::chrono::milliseconds deadline) {}
  // Throws what this group has failed with, if it has.
  virtual void check() const {}
};

// The communicator of a group whose tensors lie in host memory, which travel through `host`, or on
// a device, which travel through `transport`.
class DeviceCommunicator : public Communicator {
 public:
  DeviceCommunicator(Group host, std::unique_ptr<DeviceTransport> transport)
      : host_(std::move(host)), transport_(std::move(transport)) {}

  int rank() const override { return host_.rank(); }
  int size() const override { return host_.size(); }
  const std::string& name() const override { return host_.name(); }

  Work all_reduce(runtime::Tensor& tensor, ReduceOp op, std::string_view name) override;
  Work reduce_scatter(const runtime::Tensor& input, runtime::Tensor& output, ReduceOp op,
                      std::string_view name) override;
  Work all_gather(const runtime::Tensor& input, runtime::Tensor& output,
                  std::string_view name) override;
  Work broadcast(runtime::Tensor& tensor, int root, std::string_view name) override;
  Work send(const runtime::Tensor& tensor, int peer, std::string_view name) override;
  Work recv(runtime::Tensor& tensor, int peer, std::string_view name) override;
  void connect_ring(int step) override { transport_->connect_ring(host_, step); }
  void barrier(std::string_view name) override;
  std::unique_ptr<Communicator> split(int color, std::string_view name) override;
  void progress() override { host_.progress(); }
  void set_deadline(std::chrono::milliseconds deadline) override;

 private:
  Group host_;
  std::unique_ptr<DeviceTransport> transport_;
};

}  // namespace tandem::parallel
