#include "parallel/comm/shared/channel.h"

#include <algorithm>

#include "parallel/comm/shared/transfer.h"

namespace tandem::parallel {

Channel::Channel(std::shared_ptr<GroupState> group, std::shared_ptr<SharedMemory> memory,
                 Bells bells)
    : group_(std::move(group)),
      memory_(std::move(memory)),
      layout_(memory_->data(), group_->size()),
      bells_(bells),
      rings_(group_, layout_, std::move(bells)) {}

Channel::~Channel() {
  if (queue_.empty() || group_->failure) return;
  group_->failure = std::make_exception_ptr(runtime::InternalError(fmt::format(
      "group '{}' was destroyed before {} had finished", group_->name, queue_.front()->str())));
}

std::shared_ptr<Operation> Channel::start(Request request, std::string_view name) {
  if (group_->failure) std::rethrow_exception(group_->failure);
  auto transfer =
      std::make_shared<Transfer>(*this, std::move(request), name, transfers_++, next_chunk_);
  next_chunk_ += transfer->chunks();
  queue_.push_back(transfer);
  advance();
  return transfer;
}

std::shared_ptr<Operation> Channel::start_message(OperationKind kind, const runtime::Tensor& tensor,
                                                  int peer, std::string_view name) {
  if (group_->failure) std::rethrow_exception(group_->failure);
  auto message = rings_.start(kind, tensor, peer, name);
  advance();
  return message;
}

bool Channel::advance() {
  if (group_->failure) return false;
  bool moved = false;
  try {
    moved = rings_.advance();
    // Others wait for what is published; so that comes first.
    while (publish() | reduce() | consume()) moved = true;
  } catch (const runtime::InternalError&) {
    group_->failure = std::current_exception();
  }
  return moved;
}

News Channel::wanted() const {
  News news = rings_.wanted();
  if (!queue_.empty()) news |= kPublished | kReduced;
  if (cursors_[kPublish].transfer < queue_.size()) news |= kConsumed;
  return news;
}

bool Channel::publish() {
  Cursor& cursor = cursors_[kPublish];
  bool moved = false;
  while (cursor.transfer < queue_.size()) {
    if (cursor.chunk >= kSlots && !all_passed(kConsume, cursor.chunk - kSlots)) break;
    Transfer& transfer = *queue_[cursor.transfer];
    if (cursor.chunk == transfer.first_chunk())
      layout_.descriptor(group_->rank, cursor.chunk) = transfer.descriptor();
    transfer.publish(cursor.chunk);
    pass(kPublish, transfer.root() == group_->rank ? Waiting::kForMe : Waiting::kForAll);
    moved = true;
  }
  return moved;
}

bool Channel::reduce() {
  Cursor& cursor = cursors_[kReduce];
  bool moved = false;
  while (cursor.chunk < cursors_[kPublish].chunk) {
    Transfer& transfer = *queue_[cursor.transfer];
    if (transfer.has_reduce_stage()) {
      if (!all_passed(kPublish, cursor.chunk)) break;
      check_descriptors(transfer, cursor.chunk);
      transfer.reduce(cursor.chunk);
    }
    pass(kReduce, transfer.has_reduce_stage() ? Waiting::kForAll : Waiting::kNobody);
    moved = true;
  }
  return moved;
}

bool Channel::consume() {
  Cursor& cursor = cursors_[kConsume];
  bool moved = false;
  while (cursor.chunk < cursors_[kReduce].chunk) {
    const std::shared_ptr<Transfer> transfer = queue_.front();
    if (!ready_to_consume(*transfer, cursor.chunk)) break;
    check_descriptors(*transfer, cursor.chunk);
    transfer->consume(cursor.chunk);
    pass(kConsume, Waiting::kForAll);
    moved = true;
    if (cursor.transfer == 0) continue;
    transfer->finish();
    queue_.pop_front();
    for (Cursor& c : cursors_) --c.transfer;
  }
  return moved;
}

bool Channel::ready_to_consume(const Transfer& transfer, std::uint64_t chunk) {
  if (transfer.has_reduce_stage()) return all_passed(kReduce, chunk);
  if (transfer.root() >= 0) return counter(kPublish, transfer.root()).load() > chunk;
  return all_passed(kPublish, chunk);
}

void Channel::check_descriptors(const Transfer& transfer, std::uint64_t chunk) const {
  if (chunk != transfer.first_chunk()) return;
  const Descriptor& mine = layout_.descriptor(group_->rank, chunk);
  for (int r = 0; r < group_->size(); ++r) {
    if (transfer.root() >= 0 && r != transfer.root()) continue;
    const Descriptor& theirs = layout_.descriptor(r, chunk);
    if (!same_call(mine, theirs))
      throw runtime::InternalError(
          fmt::format("collective number {} of group '{}' differs between ranks: rank {} calls {}, "
                      "rank {} calls {}",
                      transfer.sequence(), group_->name, group_->world_ranks[group_->rank],
                      mine.str(), group_->world_ranks[r], theirs.str()));
  }
}

std::atomic<std::uint64_t>& Channel::counter(Stage stage, int rank) const {
  RankLine& line = layout_.line(rank);
  return stage == kPublish ? line.published : stage == kReduce ? line.reduced : line.consumed;
}

bool Channel::all_passed(Stage stage, std::uint64_t chunk) {
  if (slowest_[stage] > chunk) return true;
  std::uint64_t slowest = counter(stage, 0).load();
  for (int r = 1; r < group_->size(); ++r) slowest = std::min(slowest, counter(stage, r).load());
  slowest_[stage] = slowest;
  return slowest > chunk;
}

void Channel::pass(Stage stage, Waiting others) {
  constexpr std::array<News, 3> kNewsOf{kPublished, kReduced, kConsumed};
  Cursor& cursor = cursors_[stage];
  const std::uint64_t passed = cursor.chunk++;
  counter(stage, group_->rank).store(cursor.chunk);
  if (others == Waiting::kForMe || (others == Waiting::kForAll && all_passed(stage, passed)))
    bells_.ring_others(kNewsOf[stage]);
  const Transfer& transfer = *queue_[cursor.transfer];
  if (cursor.chunk == transfer.first_chunk() + transfer.chunks()) ++cursor.transfer;
}

std::vector<int> Channel::ranks_behind(Stage stage, std::uint64_t chunk) const {
  std::vector<int> ranks;
  for (int r = 0; r < group_->size(); ++r)
    if (r != group_->rank && counter(stage, r).load() <= chunk) ranks.push_back(r);
  return ranks;
}

std::vector<int> Channel::missing_peers() const {
  const std::uint64_t chunk = cursors_[kConsume].chunk;
  if (cursors_[kPublish].chunk == chunk && chunk >= kSlots)
    return ranks_behind(kConsume, chunk - kSlots);
  auto behind = ranks_behind(kPublish, chunk);
  return behind.empty() ? ranks_behind(kReduce, chunk) : behind;
}

}  // namespace tandem::parallel
