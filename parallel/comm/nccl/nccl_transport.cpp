// Collectives of GPUs over NCCL.
//
// NCCL's own reductions sum in an order that follows from the machine, bf16 with a rounding at
// every step. The promise of communicator.h is rank order and one rounding, so reductions are
// exchanges (everyone sends slice s to rank s) and a kernel that sums in rank order; an all-reduce
// then exchanges the sums. Each card sends and receives what a ring would: (p − 1)/p of the tensor
// each way, twice for an all-reduce.
//
// One promise is weaker: NCCL wants the collectives of all groups that overlap in one order on all
// ranks, not only those of each group, for kernels of two groups may wait for each other's place on
// the card. Ranks that run the same program keep that order.
#include <algorithm>

#include "parallel/comm/device/staged.h"
#include "parallel/comm/engine/endpoint.h"
#include "parallel/comm/nccl/fold.h"
#include "parallel/comm/nccl/nccl_group.h"
#include "parallel/comm/nccl_support.h"

namespace tandem::parallel {

using runtime::DType;
using runtime::Tensor;

namespace {

// Up to here everyone gets everything and sums it: one exchange instead of two.
constexpr std::int64_t kSmallAllReduce = 64 << 10;
// What a rank keeps of others' parts; larger tensors go in chunks.
constexpr std::int64_t kScratchBytes = 32 << 20;
// Slices start at whole lines, hence at whole elements of every type.
constexpr std::int64_t kLine = 128;

std::byte* bytes_at(const Tensor& tensor, std::int64_t offset) {
  return static_cast<std::byte*>(tensor.raw()) + offset;
}

struct Range {
  std::int64_t begin, count;  // bytes
};

// Rank r's share of a chunk.
Range slice_of(const Range& chunk, int r, int ranks) {
  const std::int64_t share = ((chunk.count + ranks - 1) / ranks + kLine - 1) / kLine * kLine;
  const std::int64_t first = std::min(chunk.count, r * share);
  return {chunk.begin + first, std::min(share, chunk.count - first)};
}

struct Reduction {
  DType dtype;
  ReduceOp op;
};

FoldOp fold_op(ReduceOp op) {
  return op == ReduceOp::kSum ? FoldOp::kSum : op == ReduceOp::kMax ? FoldOp::kMax : FoldOp::kMin;
}

class NcclWork : public Work::Impl {
 public:
  NcclWork(std::shared_ptr<NcclGroup> group, std::shared_ptr<NcclOperation> operation)
      : group_(std::move(group)), operation_(std::move(operation)) {}

  bool test() override { return group_->test(*operation_); }
  void wait() override { group_->wait(*operation_); }
  bool hopeless() const override { return group_->failed(); }

 private:
  std::shared_ptr<NcclGroup> group_;
  std::shared_ptr<NcclOperation> operation_;
};

class NcclTransport : public DeviceTransport {
 public:
  NcclTransport(const Group& host, std::shared_ptr<NcclGroup> group)
      : group_(std::move(group)), staged_(host) {}

  Work all_reduce(Tensor& tensor, ReduceOp op, std::string_view name) override {
    check_reducible(tensor, name);
    const Reduction reduction{tensor.dtype(), op};
    return start(OperationKind::kAllReduce, name, {tensor}, [&] {
      if (tensor.bytes() <= kSmallAllReduce) return reduce_everything(tensor, reduction);
      for (std::int64_t begin = 0; begin < tensor.bytes(); begin += kScratchBytes)
        reduce_chunk(tensor, {begin, std::min(kScratchBytes, tensor.bytes() - begin)}, reduction);
    });
  }

  Work reduce_scatter(const Tensor& input, Tensor& output, ReduceOp op,
                      std::string_view name) override {
    check_reducible(input, name);
    const Reduction reduction{input.dtype(), op};
    const std::int64_t piece = std::max(kLine, kScratchBytes / ranks() / kLine * kLine);
    return start(OperationKind::kReduceScatter, name, {input, output}, [&] {
      for (std::int64_t begin = 0; begin < output.bytes(); begin += piece) {
        const std::int64_t count = std::min(piece, output.bytes() - begin);
        const auto part = [&](int r) { return Range{r * output.bytes() + begin, count}; };
        collect(input, part, reduction, bytes_at(output, begin));
      }
    });
  }

  Work all_gather(const Tensor& input, Tensor& output, std::string_view name) override {
    return start(OperationKind::kAllGather, name, {input, output},
                 [&] { group_->all_gather(input.raw(), output.raw(), input.bytes()); });
  }

  Work broadcast(Tensor& tensor, int root, std::string_view name) override {
    return start(OperationKind::kBroadcast, name, {tensor},
                 [&] { group_->broadcast(tensor.raw(), tensor.bytes(), root); });
  }

  // NCCL's messages of one communicator run in the order of the calls, so two ranks that both send
  // first would wait for each other. Hence neighbours on a ring have a communicator for their one
  // direction, and other messages go by way of the host.
  Work send(const Tensor& tensor, int peer, std::string_view name) override {
    if (ring_.to == nullptr || peer != neighbour(ring_.step)) {
      check();
      return staged_.send(tensor, peer, name);
    }
    const NcclMessage message{tensor.raw(), tensor.bytes(), 1 - ring_.to->rank()};
    return start(ring_.to, OperationKind::kSend, name, {tensor}, [&] {
      ring_.to->exchange({&message, 1}, {});
    });
  }
  Work recv(Tensor& tensor, int peer, std::string_view name) override {
    if (ring_.from == nullptr || peer != neighbour(-ring_.step)) {
      check();
      return staged_.recv(tensor, peer, name);
    }
    const NcclMessage message{tensor.raw(), tensor.bytes(), 1 - ring_.from->rank()};
    return start(ring_.from, OperationKind::kRecv, name, {tensor}, [&] {
      ring_.from->exchange({}, {&message, 1});
    });
  }

  // Pairs without a rank in common are made at once: those that start at even ranks, those that
  // start at odd ones, and in a ring of an odd number of ranks the one that the last rank starts.
  void connect_ring(const Group& host, int step) override {
    check();
    if (ranks() == 1 || ring_.step == step) return;
    ring_ = {.step = step};
    const auto turn = [&](int sender) {
      return ranks() % 2 == 1 && sender == ranks() - 1 ? 2 : sender % 2;
    };
    const int before = neighbour(-step);
    for (int i = 0; i < 2 + ranks() % 2; ++i) {
      const bool sends = turn(rank()) == i, receives = turn(before) == i;
      const int color = sends ? rank() : receives ? before : -1;  // the sender
      const Group pair = host.split(color, fmt::format("{}: neighbours", host.name()));
      if (pair.size() == 0) continue;
      (sends ? ring_.to : ring_.from) = std::make_shared<NcclGroup>(
          pair, group_->card(), group_->world_rank(), group_->deadline());
    }
  }

  std::unique_ptr<DeviceTransport> for_group(const Group& host) override {
    return std::make_unique<NcclTransport>(
        host, std::make_shared<NcclGroup>(host, group_->card(), group_->world_rank(),
                                          group_->deadline()));
  }
  void set_deadline(std::chrono::milliseconds deadline) override {
    for (const auto& group : {group_, ring_.to, ring_.from})
      if (group != nullptr) group->set_deadline(deadline);
  }
  void check() const override {
    for (const auto& group : {group_, ring_.to, ring_.from})
      if (group != nullptr) group->check();
  }

 private:
  // Two ranks each: this one sends through the one and receives through the other.
  struct Ring {
    int step = 0;  // 0: there is none
    std::shared_ptr<NcclGroup> to = nullptr, from = nullptr;
  };

  int rank() const { return group_->rank(); }
  int ranks() const { return group_->size(); }
  // From the next rank on, so that not all send to the same one first.
  int peer(int i) const { return (rank() + i) % ranks(); }
  int neighbour(int step) const { return (rank() + step + ranks()) % ranks(); }

  Work start(OperationKind kind, std::string_view name, std::vector<Tensor> tensors,
             const std::function<void()>& issue) {
    return start(group_, kind, name, std::move(tensors), issue);
  }
  // What has failed in any of the groups is thrown in whichever is used next.
  Work start(const std::shared_ptr<NcclGroup>& group, OperationKind kind, std::string_view name,
             std::vector<Tensor> tensors, const std::function<void()>& issue) {
    check();
    if (tensors.front().bytes() == 0) return {};
    return Work(
        std::make_unique<NcclWork>(group, group->start(kind, name, std::move(tensors), issue)));
  }

  void reduce_everything(Tensor& tensor, const Reduction& reduction) {
    std::byte* all = group_->scratch(kSmallAllReduce * ranks());
    group_->all_gather(tensor.raw(), all, tensor.bytes());
    fold(reduction, all, tensor.raw(), tensor.raw(), tensor.bytes());
  }

  void reduce_chunk(Tensor& tensor, const Range& chunk, const Reduction& reduction) {
    const auto slice = [&](int r) { return slice_of(chunk, r, ranks()); };
    const Range own = slice(rank());
    collect(tensor, slice, reduction, bytes_at(tensor, own.begin));
    std::vector<NcclMessage> sends, recvs;
    for (int i = 1; i < ranks(); ++i) {
      const Range theirs = slice(peer(i));
      sends.push_back({bytes_at(tensor, own.begin), own.count, peer(i)});
      recvs.push_back({bytes_at(tensor, theirs.begin), theirs.count, peer(i)});
    }
    group_->exchange(sends, recvs);
  }

  // Everyone sends range(r) of `input` to rank r, which reduces what it gets into `output`.
  template <typename RangeOf>
  void collect(const Tensor& input, const RangeOf& range, const Reduction& reduction,
               std::byte* output) {
    const Range own = range(rank());
    std::byte* parts = group_->scratch(kScratchBytes + ranks() * kLine);
    std::vector<NcclMessage> sends, recvs;
    for (int i = 1; i < ranks(); ++i) {
      const Range theirs = range(peer(i));
      sends.push_back({bytes_at(input, theirs.begin), theirs.count, peer(i)});
      recvs.push_back({parts + peer(i) * own.count, own.count, peer(i)});
    }
    group_->exchange(sends, recvs);
    fold(reduction, parts, bytes_at(input, own.begin), output, own.count);
  }

  void fold(const Reduction& reduction, const void* parts, const void* own, void* out,
            std::int64_t bytes) {
    switch (reduction.dtype) {
      case DType::kF32:
        return fold_as<float>(reduction.op, parts, own, out, bytes);
      case DType::kBF16:
        return fold_as<__nv_bfloat16>(reduction.op, parts, own, out, bytes);
      case DType::kF16:
        return fold_as<__half>(reduction.op, parts, own, out, bytes);
      case DType::kF64:
        return fold_as<double>(reduction.op, parts, own, out, bytes);
      case DType::kI32:
        return fold_as<std::int32_t>(reduction.op, parts, own, out, bytes);
      case DType::kI64:
        return fold_as<std::int64_t>(reduction.op, parts, own, out, bytes);
      default:
        TANDEM_CHECK(false, "tensors of {} cannot be reduced", runtime::name_of(reduction.dtype));
    }
  }

  template <typename T>
  void fold_as(ReduceOp op, const void* parts, const void* own, void* out, std::int64_t bytes) {
    fold_parts(fold_op(op), static_cast<const T*>(parts), ranks(), rank(),
               static_cast<const T*>(own), static_cast<T*>(out),
               bytes / static_cast<std::int64_t>(sizeof(T)), group_->stream());
  }

  std::shared_ptr<NcclGroup> group_;
  Ring ring_;
  StagedTransport staged_;
};

}  // namespace

std::unique_ptr<DeviceTransport> make_nccl_transport(const Group& host, runtime::Device device) {
  constexpr std::chrono::minutes kUsualDeadline{10};  // that of communicator.h
  return std::make_unique<NcclTransport>(
      host, std::make_shared<NcclGroup>(host, device.index, host.rank(), kUsualDeadline));
}

}  // namespace tandem::parallel
