#include <algorithm>
#include <cstring>

#include "parallel/comm/communicator.h"
#include "parallel/comm/local/local.h"

namespace tandem::parallel {

using runtime::DType;
using runtime::Tensor;

namespace {

void check_parts(const Tensor& part, const Tensor& whole, const Communicator& c,
                 std::string_view name) {
  TANDEM_CHECK(part.dtype() == whole.dtype() && part.elements() * c.size() == whole.elements(),
               "'{}' in group '{}': {} is not one of {} equal parts of {}", name, c.name(),
               part.str(), c.size(), whole.str());
}

void check_peer(int peer, const Communicator& c, std::string_view name) {
  TANDEM_CHECK(peer >= 0 && peer < c.size(), "'{}': group '{}' of {} ranks has no rank {}", name,
               c.name(), c.size(), peer);
}

// Whether a tensor goes nowhere, and nobody needs to know: groups on paper do.
bool stays(const Tensor& tensor, const Communicator& c) {
  return tensor.is_meta() && !c.on_paper();
}

template <typename T>
T reduce_scalar(const Group& group, T value, ReduceOp op, std::string_view name) {
  Tensor tensor = Tensor::from(std::vector<T>{value}, {1});
  group.all_reduce(tensor, op, name).wait();
  return tensor.span<T>()[0];
}

Tensor bytes_of(std::string_view text, std::int64_t size) {
  Tensor bytes = Tensor::zeros({size}, DType::kU8);
  if (!text.empty()) std::memcpy(bytes.raw(), text.data(), text.size());
  return bytes;
}

}  // namespace

Group::Group() : Group(local_group()) {}

Group::Group(std::shared_ptr<Communicator> communicator)
    : communicator_(std::move(communicator)),
      rank_(communicator_ ? communicator_->rank() : -1),
      size_(communicator_ ? communicator_->size() : 0) {}

Communicator& Group::checked() const {
  TANDEM_CHECK(communicator_ != nullptr, "this rank is not in the group it communicates in");
  return *communicator_;
}

const std::string& Group::name() const {
  return checked().name();
}

Work Group::all_reduce(Tensor& tensor, ReduceOp op, std::string_view name) const {
  if (stays(tensor, checked())) return {};
  return checked().all_reduce(tensor, op, name);
}

Work Group::reduce_scatter(const Tensor& input, Tensor& output, ReduceOp op,
                           std::string_view name) const {
  check_parts(output, input, checked(), name);
  if (stays(input, checked())) return {};
  return checked().reduce_scatter(input, output, op, name);
}

Work Group::all_gather(const Tensor& input, Tensor& output, std::string_view name) const {
  check_parts(input, output, checked(), name);
  if (stays(input, checked())) return {};
  return checked().all_gather(input, output, name);
}

Work Group::broadcast(Tensor& tensor, int root, std::string_view name) const {
  check_peer(root, checked(), name);
  if (stays(tensor, checked())) return {};
  return checked().broadcast(tensor, root, name);
}

Work Group::send(const Tensor& tensor, int peer, std::string_view name) const {
  check_peer(peer, checked(), name);
  TANDEM_CHECK(peer != rank(), "'{}': rank {} of group '{}' sends to itself", name, peer,
               this->name());
  if (stays(tensor, checked())) return {};
  return checked().send(tensor, peer, name);
}

Work Group::recv(Tensor& tensor, int peer, std::string_view name) const {
  check_peer(peer, checked(), name);
  TANDEM_CHECK(peer != rank(), "'{}': rank {} of group '{}' receives from itself", name, peer,
               this->name());
  if (stays(tensor, checked())) return {};
  return checked().recv(tensor, peer, name);
}

void Group::barrier(std::string_view name) const {
  checked().barrier(name);
}

Group Group::split(int color, std::string_view name) const {
  return Group(std::shared_ptr<Communicator>(checked().split(color, name)));
}

void Group::connect_ring(int step) const {
  checked().connect_ring(step);
}

void Group::progress() const {
  checked().progress();
}

bool Group::on_paper() const {
  return checked().on_paper();
}

void Group::set_deadline(std::chrono::milliseconds deadline) const {
  checked().set_deadline(deadline);
}

std::string Group::broadcast_string(std::string value, int root, std::string_view name) const {
  if (size() == 1) return value;
  const auto size = std::max<std::int64_t>(
      0, all_reduce_scalar(rank() == root ? static_cast<std::int64_t>(value.size()) : -1,
                           ReduceOp::kMax, name));
  Tensor bytes = bytes_of(rank() == root ? std::string_view(value) : std::string_view(), size);
  broadcast(bytes, root, name).wait();
  return std::string(static_cast<const char*>(bytes.raw()), static_cast<std::size_t>(size));
}

std::vector<std::string> Group::all_gather_strings(const std::string& value,
                                                   std::string_view name) const {
  if (size() == 1) return {value};
  Tensor lengths = Tensor::empty({size()}, DType::kI64);
  all_gather(Tensor::from(std::vector<std::int64_t>{static_cast<std::int64_t>(value.size())}, {1}),
             lengths, name)
      .wait();
  const auto length = lengths.span<std::int64_t>();
  const std::int64_t longest = *std::max_element(length.begin(), length.end());

  Tensor all = Tensor::empty({size(), longest}, DType::kU8);
  all_gather(bytes_of(value, longest), all, name).wait();
  std::vector<std::string> result;
  for (int r = 0; r < size(); ++r)
    result.emplace_back(static_cast<const char*>(all.raw()) + r * longest,
                        static_cast<std::size_t>(length[r]));
  return result;
}

double Group::all_reduce_scalar(double value, ReduceOp op, std::string_view name) const {
  return size() == 1 || communicator_->on_paper() ? value : reduce_scalar(*this, value, op, name);
}

std::int64_t Group::all_reduce_scalar(std::int64_t value, ReduceOp op,
                                      std::string_view name) const {
  return size() == 1 || communicator_->on_paper() ? value : reduce_scalar(*this, value, op, name);
}

}  // namespace tandem::parallel
