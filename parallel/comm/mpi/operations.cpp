#include "parallel/comm/mpi/operations.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "parallel/comm/engine/reduce.h"

namespace tandem::parallel {

using runtime::Tensor;

namespace {

// Large tensors travel in chunks of this size, so many of them at once.
constexpr std::int64_t kChunkBytes = 1 << 20;
constexpr std::size_t kWindow = 4;
// Up to here every rank gets everything and sums it itself: one exchange instead of two.
constexpr std::int64_t kSmallAllReduce = 32 << 10;
constexpr std::int64_t kLine = 64;

std::byte* bytes_at(const Tensor& tensor, std::int64_t offset) {
  return static_cast<std::byte*>(tensor.raw()) + offset;
}

std::uint64_t chunks_of(std::int64_t bytes, std::int64_t chunk_bytes) {
  return static_cast<std::uint64_t>(
      std::max<std::int64_t>(1, (bytes + chunk_bytes - 1) / chunk_bytes));
}

// An operation in chunks, each of which goes through rounds: messages fly, then step() uses them
// and posts the next.
class ChunkedOperation : public MpiOperation {
 public:
  ChunkedOperation(SharedMpiGroup group, OperationKind kind, std::string_view name,
                   std::int64_t bytes, std::uint64_t sequence, std::uint64_t chunks)
      : MpiOperation(group, kind, name, bytes, sequence), mpi_(std::move(group)), chunks_(chunks) {}

  bool advance() override {
    bool moved = begin_chunks();
    // A chunk may enter a round only after the one before it, for messages of a round match in
    // order.
    for (std::size_t i = 0; i < window_.size(); ++i) {
      if (i > 0 && window_[i].round >= window_[i - 1].round) break;
      moved |= advance(window_[i]);
    }
    while (!window_.empty() && window_.front().round == kDone) window_.pop_front();
    moved |= begin_chunks();
    if (window_.empty()) {
      release();
      set_finished();
    }
    return moved;
  }

  std::vector<int> missing_peers() const override {
    return window_.empty() ? std::vector<int>() : window_.front().exchange.pending_peers();
  }

 protected:
  static constexpr int kDone = 1 << 20;
  struct Chunk {
    std::int64_t index;
    Exchange exchange;
    int round = 0;
    std::unique_ptr<std::byte[]> scratch{};
  };

  // Posts the messages of round `chunk.round`, after using those of the round before; false when
  // there is none.
  virtual bool step(Chunk& chunk) = 0;
  virtual void release() = 0;

  int rank() const { return mpi_->rank; }
  int ranks() const { return mpi_->size(); }
  // Peers from the next rank on, so that not all ranks send to the same one first.
  int peer(int i) const { return (rank() + i) % ranks(); }
  int tag(int phase) const {
    return mpi_->tags.tag(mpi_->context,
                          kind() == OperationKind::kSend || kind() == OperationKind::kRecv, phase,
                          sequence());
  }

 private:
  bool begin_chunks() {
    bool moved = false;
    while (window_.size() < kWindow && next_ < chunks_) {
      window_.push_back({static_cast<std::int64_t>(next_++), Exchange(mpi_->comm, *mpi_)});
      if (!step(window_.back())) window_.back().round = kDone;
      moved = true;
    }
    return moved;
  }

  bool advance(Chunk& chunk) {
    bool moved = false;
    while (chunk.round != kDone && chunk.exchange.test()) {
      ++chunk.round;
      if (!step(chunk)) chunk.round = kDone;
      moved = true;
    }
    return moved;
  }

  SharedMpiGroup mpi_;
  std::uint64_t chunks_;
  std::uint64_t next_ = 0;
  std::deque<Chunk> window_;
};

// Round 0: everyone sends slice s of a chunk to rank s, which sums; round 1: and sends the sum to
// all. Small tensors: everyone sends everything to everyone and sums it all.
class AllReduce : public ChunkedOperation {
 public:
  AllReduce(SharedMpiGroup group, const Tensor& tensor, ReduceOp op, std::string_view name,
            std::uint64_t number)
      : ChunkedOperation(group, OperationKind::kAllReduce, name, tensor.bytes(), number,
                         chunks_of(tensor.bytes(), kChunkBytes)),
        tensor_(tensor),
        op_(op),
        small_(tensor.bytes() <= kSmallAllReduce) {}

 private:
  struct Range {
    std::int64_t begin, count;  // bytes of the tensor
  };

  Range slice(const Chunk& chunk, int r) const {
    const std::int64_t begin = chunk.index * kChunkBytes;
    const std::int64_t count = std::min(kChunkBytes, bytes() - begin);
    if (small_) return {begin, count};
    const std::int64_t share = ((count + ranks() - 1) / ranks() + kLine - 1) / kLine * kLine;
    const std::int64_t first = std::min(count, r * share);
    return {begin + first, std::min(share, count - first)};
  }

  bool step(Chunk& chunk) override {
    if (chunk.round == 0) return scatter(chunk), true;
    if (chunk.round == 1) return sum(chunk), !small_ && (gather(chunk), true);
    return false;
  }

  void scatter(Chunk& chunk) {
    const Range own = slice(chunk, rank());
    chunk.scratch =
        std::make_unique_for_overwrite<std::byte[]>(static_cast<std::size_t>(own.count * ranks()));
    for (int i = 1; i < ranks(); ++i) {
      const int from = peer(ranks() - i), to = peer(i);
      const Range theirs = slice(chunk, to);
      chunk.exchange.recv(chunk.scratch.get() + from * own.count, own.count, from, tag(0));
      chunk.exchange.send(bytes_at(tensor_, theirs.begin), theirs.count, to, tag(0));
    }
  }

  void sum(Chunk& chunk) {
    const Range own = slice(chunk, rank());
    std::vector<const void*> inputs;
    for (int r = 0; r < ranks(); ++r)
      inputs.push_back(r == rank() ? bytes_at(tensor_, own.begin)
                                   : chunk.scratch.get() + r * own.count);
    reduce_in_rank_order(tensor_.dtype(), op_, inputs, bytes_at(tensor_, own.begin),
                         own.count / runtime::size_of(tensor_.dtype()));
    chunk.scratch.reset();
  }

  void gather(Chunk& chunk) {
    const Range own = slice(chunk, rank());
    for (int i = 1; i < ranks(); ++i) {
      const int from = peer(ranks() - i), to = peer(i);
      const Range theirs = slice(chunk, from);
      chunk.exchange.recv(bytes_at(tensor_, theirs.begin), theirs.count, from, tag(1));
      chunk.exchange.send(bytes_at(tensor_, own.begin), own.count, to, tag(1));
    }
  }

  void release() override { tensor_ = {}; }

  Tensor tensor_;
  ReduceOp op_;
  bool small_;
};

// A chunk is the same piece of every part.
class ReduceScatter : public ChunkedOperation {
 public:
  ReduceScatter(SharedMpiGroup group, const Tensor& input, const Tensor& output, ReduceOp op,
                std::string_view name, std::uint64_t number)
      : ChunkedOperation(group, OperationKind::kReduceScatter, name, input.bytes(), number,
                         chunks_of(output.bytes(), piece_bytes(group->size()))),
        input_(input),
        output_(output),
        op_(op) {}

 private:
  static std::int64_t piece_bytes(int ranks) {
    return std::max(kLine, kChunkBytes / ranks / kLine * kLine);
  }

  bool step(Chunk& chunk) override {
    const std::int64_t part = output_.bytes();
    const std::int64_t begin = chunk.index * piece_bytes(ranks());
    const std::int64_t count = std::min(piece_bytes(ranks()), part - begin);
    if (chunk.round == 0) {
      chunk.scratch =
          std::make_unique_for_overwrite<std::byte[]>(static_cast<std::size_t>(count * ranks()));
      for (int i = 1; i < ranks(); ++i) {
        const int from = peer(ranks() - i), to = peer(i);
        chunk.exchange.recv(chunk.scratch.get() + from * count, count, from, tag(0));
        chunk.exchange.send(bytes_at(input_, to * part + begin), count, to, tag(0));
      }
      return true;
    }
    std::vector<const void*> inputs;
    for (int r = 0; r < ranks(); ++r)
      inputs.push_back(r == rank() ? bytes_at(input_, r * part + begin)
                                   : chunk.scratch.get() + r * count);
    reduce_in_rank_order(input_.dtype(), op_, inputs, bytes_at(output_, begin),
                         count / runtime::size_of(input_.dtype()));
    return false;
  }

  void release() override { input_ = output_ = {}; }

  Tensor input_, output_;
  ReduceOp op_;
};

class AllGather : public ChunkedOperation {
 public:
  AllGather(SharedMpiGroup group, const Tensor& input, const Tensor& output, std::string_view name,
            std::uint64_t number)
      : ChunkedOperation(group, OperationKind::kAllGather, name, input.bytes(), number, 1),
        input_(input),
        output_(output) {}

 private:
  bool step(Chunk& chunk) override {
    if (chunk.round > 0) return false;
    std::byte* own = bytes_at(output_, rank() * bytes());
    if (bytes() > 0 && own != input_.raw())
      std::memcpy(own, input_.raw(), static_cast<std::size_t>(bytes()));
    for (int i = 1; i < ranks(); ++i) {
      const int from = peer(ranks() - i), to = peer(i);
      chunk.exchange.recv(bytes_at(output_, from * bytes()), bytes(), from, tag(0));
      chunk.exchange.send(own, bytes(), to, tag(0));
    }
    return true;
  }

  void release() override { input_ = output_ = {}; }

  Tensor input_, output_;
};

// Down a binomial tree: a rank hears from the one without its highest bit (counted from the root),
// then tells those with one more bit.
class Broadcast : public ChunkedOperation {
 public:
  Broadcast(SharedMpiGroup group, const Tensor& tensor, int root, std::string_view name,
            std::uint64_t number)
      : ChunkedOperation(group, OperationKind::kBroadcast, name, tensor.bytes(), number,
                         chunks_of(tensor.bytes(), kChunkBytes)),
        tensor_(tensor),
        root_(root) {}

 private:
  bool step(Chunk& chunk) override {
    const std::int64_t begin = chunk.index * kChunkBytes;
    const std::int64_t count = std::min(kChunkBytes, bytes() - begin);
    const auto place = static_cast<unsigned>((rank() - root_ + ranks()) % ranks());
    const auto rank_at = [this](unsigned p) { return static_cast<int>(p + root_) % ranks(); };
    if (chunk.round == 0) {
      if (place > 0)
        chunk.exchange.recv(bytes_at(tensor_, begin), count, rank_at(place - std::bit_floor(place)),
                            tag(0));
      return true;
    }
    if (chunk.round > 1) return false;
    for (unsigned bit = place == 0 ? 1 : std::bit_floor(place) * 2;
         place + bit < static_cast<unsigned>(ranks()); bit *= 2)
      chunk.exchange.send(bytes_at(tensor_, begin), count, rank_at(place + bit), tag(0));
    return true;
  }

  void release() override { tensor_ = {}; }

  Tensor tensor_;
  int root_;
};

// Dissemination: in round k a rank hears from the one 2^k before it, so after log2(ranks) rounds
// from everyone.
class Barrier : public ChunkedOperation {
 public:
  Barrier(SharedMpiGroup group, std::string_view name, std::uint64_t number)
      : ChunkedOperation(group, OperationKind::kBarrier, name, 0, number, 1) {}

 private:
  bool step(Chunk& chunk) override {
    const int distance = 1 << chunk.round;
    if (distance >= ranks()) return false;
    chunk.exchange.recv(nullptr, 0, peer(ranks() - distance), tag(0));
    chunk.exchange.send(nullptr, 0, peer(distance), tag(0));
    return true;
  }

  void release() override {}
};

class Message : public ChunkedOperation {
 public:
  Message(SharedMpiGroup group, OperationKind kind, const Tensor& tensor, int peer,
          std::string_view name, std::uint64_t number)
      : ChunkedOperation(group, kind, name, tensor.bytes(), number, 1),
        tensor_(tensor),
        peer_(peer) {}

 private:
  bool step(Chunk& chunk) override {
    if (chunk.round > 0) return false;
    if (kind() == OperationKind::kSend)
      chunk.exchange.send(tensor_.raw(), bytes(), peer_, tag(0));
    else
      chunk.exchange.recv(tensor_.raw(), bytes(), peer_, tag(0));
    return true;
  }

  void release() override { tensor_ = {}; }

  Tensor tensor_;
  int peer_;
};

}  // namespace

bool MpiTransport::advance() {
  bool moved = false;
  for (auto& operation : active_) {
    try {
      moved |= operation->advance();
    } catch (const std::exception&) {
      operation->group().failure = std::current_exception();
      failed_.push_back(operation);
    }
  }
  if (moved || !failed_.empty())
    std::erase_if(active_, [this](const auto& operation) {
      return operation->finished() ||
             std::find(failed_.begin(), failed_.end(), operation) != failed_.end();
    });
  return moved;
}

void MpiTransport::start(std::shared_ptr<MpiOperation> operation) {
  if (operation->group().failure) std::rethrow_exception(operation->group().failure);
  active_.push_back(std::move(operation));
  advance();
}

std::shared_ptr<MpiOperation> mpi_all_reduce(SharedMpiGroup group, const Tensor& tensor,
                                             ReduceOp op, std::string_view name) {
  return std::make_shared<AllReduce>(group, tensor, op, name, group->collectives++);
}

std::shared_ptr<MpiOperation> mpi_reduce_scatter(SharedMpiGroup group, const Tensor& input,
                                                 const Tensor& output, ReduceOp op,
                                                 std::string_view name) {
  return std::make_shared<ReduceScatter>(group, input, output, op, name, group->collectives++);
}

std::shared_ptr<MpiOperation> mpi_all_gather(SharedMpiGroup group, const Tensor& input,
                                             const Tensor& output, std::string_view name) {
  return std::make_shared<AllGather>(group, input, output, name, group->collectives++);
}

std::shared_ptr<MpiOperation> mpi_broadcast(SharedMpiGroup group, const Tensor& tensor, int root,
                                            std::string_view name) {
  return std::make_shared<Broadcast>(group, tensor, root, name, group->collectives++);
}

std::shared_ptr<MpiOperation> mpi_barrier(SharedMpiGroup group, std::string_view name) {
  return std::make_shared<Barrier>(group, name, group->collectives++);
}

std::shared_ptr<MpiOperation> mpi_message(SharedMpiGroup group, OperationKind kind,
                                          const Tensor& tensor, int peer, std::string_view name) {
  auto& numbers = kind == OperationKind::kSend ? group->sent : group->received;
  return std::make_shared<Message>(group, kind, tensor, peer, name, numbers[peer]++);
}

}  // namespace tandem::parallel
