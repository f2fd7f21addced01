// Tensors of a device by way of the host: copied there, sent through the host's communicator, and
// copied back when the collective is waited for. For ranks that share a card, which NCCL refuses,
// and where there is no NCCL. Knows no vendor: the device's Backend copies (a GPU's through pinned
// buffers), in the order of its compute stream. (The tests also send the host's tensors by way of a
// device.)
#pragma once

#include "parallel/comm/device/transport.h"

namespace tandem::parallel {

class StagedTransport : public DeviceTransport {
 public:
  // `through`: where `group` takes tensors.
  explicit StagedTransport(Group group, runtime::Device through = {})
      : group_(std::move(group)), through_(through) {}

  Work all_reduce(runtime::Tensor& tensor, ReduceOp op, std::string_view name) override;
  Work reduce_scatter(const runtime::Tensor& input, runtime::Tensor& output, ReduceOp op,
                      std::string_view name) override;
  Work all_gather(const runtime::Tensor& input, runtime::Tensor& output,
                  std::string_view name) override;
  Work broadcast(runtime::Tensor& tensor, int root, std::string_view name) override;
  Work send(const runtime::Tensor& tensor, int peer, std::string_view name) override;
  Work recv(runtime::Tensor& tensor, int peer, std::string_view name) override;
  std::unique_ptr<DeviceTransport> for_group(const Group& group) override {
    return std::make_unique<StagedTransport>(group, through_);
  }

 private:
  runtime::Tensor carried(const runtime::Tensor& tensor) const { return tensor.to(through_); }
  runtime::Tensor room_for(const runtime::Tensor& tensor) const;

  Group group_;
  runtime::Device through_;
};

}  // namespace tandem::parallel
