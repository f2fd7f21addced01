// A communicator for tensors of the host that sends them by way of a device: the promises of
// tests/parallel/comm/checks.h, kept by whatever carries the device's tensors.
#pragma once

#include "parallel/comm/device/staged.h"

namespace tandem::parallel::testing {

// `devices`: a group whose collectives take tensors of `device`.
inline Group through_device(const Group& devices, runtime::Device device);

namespace internal {

class ThroughDevice : public Communicator {
 public:
  ThroughDevice(Group devices, runtime::Device device)
      : devices_(devices), device_(device), carrier_(std::move(devices), device) {}

  int rank() const override { return devices_.rank(); }
  int size() const override { return devices_.size(); }
  const std::string& name() const override { return devices_.name(); }
  Work all_reduce(runtime::Tensor& tensor, ReduceOp op, std::string_view name) override {
    return carrier_.all_reduce(tensor, op, name);
  }
  Work reduce_scatter(const runtime::Tensor& input, runtime::Tensor& output, ReduceOp op,
                      std::string_view name) override {
    return carrier_.reduce_scatter(input, output, op, name);
  }
  Work all_gather(const runtime::Tensor& input, runtime::Tensor& output,
                  std::string_view name) override {
    return carrier_.all_gather(input, output, name);
  }
  Work broadcast(runtime::Tensor& tensor, int root, std::string_view name) override {
    return carrier_.broadcast(tensor, root, name);
  }
  Work send(const runtime::Tensor& tensor, int peer, std::string_view name) override {
    return carrier_.send(tensor, peer, name);
  }
  Work recv(runtime::Tensor& tensor, int peer, std::string_view name) override {
    return carrier_.recv(tensor, peer, name);
  }
  void connect_ring(int step) override { devices_.connect_ring(step); }
  void barrier(std::string_view name) override { devices_.barrier(name); }
  std::unique_ptr<Communicator> split(int color, std::string_view name) override {
    Group part = devices_.split(color, name);
    if (part.size() == 0) return nullptr;
    return std::make_unique<ThroughDevice>(std::move(part), device_);
  }
  void progress() override { devices_.progress(); }
  void set_deadline(std::chrono::milliseconds deadline) override {
    devices_.set_deadline(deadline);
  }

 private:
  Group devices_;
  runtime::Device device_;
  StagedTransport carrier_;
};

}  // namespace internal

inline Group through_device(const Group& devices, runtime::Device device) {
  return Group(std::make_shared<internal::ThroughDevice>(devices, device));
}

}  // namespace tandem::parallel::testing
