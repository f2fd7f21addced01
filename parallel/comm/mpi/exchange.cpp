#include "parallel/comm/mpi/exchange.h"

#include <algorithm>
#include <bit>

#include "runtime/base/error.h"

namespace tandem::parallel {

namespace {

// MPI counts in int.
constexpr std::int64_t kLargestMessage = std::int64_t{1} << 30;

}  // namespace

void check_mpi(int code, std::string_view call) {
  if (code == MPI_SUCCESS) return;
  char text[MPI_MAX_ERROR_STRING] = {};
  int length = 0;
  MPI_Error_string(code, text, &length);
  runtime::throw_environment_error("{} failed: {}", call, std::string_view(text, length));
}

TagSpace::TagSpace(int upper_bound) {
  const int bits = std::bit_width(static_cast<unsigned>(upper_bound)) - 1;
  sequence_bits_ = std::min(bits - kContextBits - 2, 16);
  if (sequence_bits_ < 8)
    runtime::throw_environment_error(
        "this MPI takes tags up to {}, but {} are needed: use another MPI or transport",
        upper_bound, 1 << (kContextBits + 10));
}

int TagSpace::tag(int context, bool point_to_point, int phase, std::uint64_t sequence) const {
  TANDEM_CHECK(context < (1 << kContextBits), "more than {} groups were made", 1 << kContextBits);
  const auto number = static_cast<int>(sequence & ((std::uint64_t{1} << sequence_bits_) - 1));
  return (((number << kContextBits) | context) << 2) | (point_to_point ? 2 : 0) | phase;
}

void Exchange::send(const void* data, std::int64_t bytes, int peer, int tag) {
  const auto* begin = static_cast<const char*>(data);
  do {
    const std::int64_t part = std::min(bytes, kLargestMessage);
    messages_.push_back({peer, -1});
    check_mpi(MPI_Isend(begin, static_cast<int>(part), MPI_BYTE, group_->world_ranks[peer], tag,
                        comm_, &requests_.emplace_back(MPI_REQUEST_NULL)),
              "MPI_Isend");
    begin += part;
    bytes -= part;
  } while (bytes > 0);
}

void Exchange::recv(void* data, std::int64_t bytes, int peer, int tag) {
  auto* begin = static_cast<char*>(data);
  do {
    const std::int64_t part = std::min(bytes, kLargestMessage);
    messages_.push_back({peer, part});
    check_mpi(MPI_Irecv(begin, static_cast<int>(part), MPI_BYTE, group_->world_ranks[peer], tag,
                        comm_, &requests_.emplace_back(MPI_REQUEST_NULL)),
              "MPI_Irecv");
    begin += part;
    bytes -= part;
  } while (bytes > 0);
}

bool Exchange::test() {
  if (requests_.empty()) return true;
  const int count = static_cast<int>(requests_.size());
  std::vector<int> indices(count);
  std::vector<MPI_Status> statuses(count);
  int done = 0;
  const int code = MPI_Testsome(count, requests_.data(), &done, indices.data(), statuses.data());
  if (code != MPI_ERR_IN_STATUS) check_mpi(code, "MPI_Testsome");
  if (done == MPI_UNDEFINED) done = 0;
  for (int i = 0; i < done; ++i) {
    if (code == MPI_SUCCESS) statuses[i].MPI_ERROR = MPI_SUCCESS;
    check_arrival(messages_[indices[i]], statuses[i]);
  }
  if (std::any_of(requests_.begin(), requests_.end(),
                  [](MPI_Request request) { return request != MPI_REQUEST_NULL; }))
    return false;
  requests_.clear();
  messages_.clear();
  return true;
}

void Exchange::check_arrival(const Message& message, const MPI_Status& status) const {
  int error_class = MPI_SUCCESS;
  if (status.MPI_ERROR != MPI_SUCCESS) MPI_Error_class(status.MPI_ERROR, &error_class);
  int count = 0;
  if (error_class == MPI_SUCCESS && message.expected >= 0) MPI_Get_count(&status, MPI_BYTE, &count);
  const bool truncated = error_class == MPI_ERR_TRUNCATE;
  if (truncated ||
      (message.expected >= 0 && error_class == MPI_SUCCESS && count != message.expected))
    throw runtime::InternalError(
        fmt::format("rank {} sent {} than the {} bytes that rank {} expects in group '{}'",
                    group_->world_ranks[message.peer],
                    truncated ? "more" : fmt::format("less ({} bytes)", count), message.expected,
                    group_->world_ranks[group_->rank], group_->name));
  check_mpi(status.MPI_ERROR, "MPI_Testsome");
}

std::vector<int> Exchange::pending_peers() const {
  std::vector<int> peers;
  for (std::size_t i = 0; i < requests_.size(); ++i)
    if (requests_[i] != MPI_REQUEST_NULL &&
        std::find(peers.begin(), peers.end(), messages_[i].peer) == peers.end())
      peers.push_back(messages_[i].peer);
  std::sort(peers.begin(), peers.end());
  return peers;
}

}  // namespace tandem::parallel
