#include "runtime/kernels/cuda/cudnn/attention.h"

#include <cudnn_frontend.h>

#include <array>
#include <optional>
#include <stdexcept>
#include <vector>

#include "runtime/base/log.h"
#include "runtime/device/cuda/status.h"
#include "runtime/device/cuda/stream.h"
#include "runtime/kernels/cuda/architecture.h"
#include "runtime/kernels/cuda/cudnn/library.h"

namespace tandem::runtime::cuda {
namespace {

namespace fe = cudnn_frontend;
using fe::graph::Graph;
using fe::graph::Tensor_attributes;
using TensorPointer = std::shared_ptr<Tensor_attributes>;

// Names of a graph's tensors.
enum Name : std::int64_t { kQ = 1, kK, kV, kOut, kLse, kDout, kDq, kDk, kDv, kFirstList };

std::int64_t name_of(int list) {
  return kFirstList + list;
}

void need(fe::error_t error) {
  if (error.is_bad()) throw std::runtime_error(error.get_message());
}

// One problem as a graph of the frontend. Every tensor is ragged: [sequences, heads, rows of the
// longest, head_dim] with lists that say where a sequence begins and how long it is.
class Builder {
 public:
  Builder(const CudnnProblem& problem, int architecture) : p_(problem) {
    graph_->set_sm_version(architecture)
        .set_io_data_type(fe::DataType_t::BFLOAT16)
        .set_intermediate_data_type(fe::DataType_t::FLOAT)
        .set_compute_data_type(fe::DataType_t::FLOAT);
  }

  std::shared_ptr<Graph> forward() {
    auto attributes = masked<fe::graph::SDPA_attributes>("attention");
    attributes.set_generate_stats(true);
    const auto [out, lse] = graph_->sdpa(q(), k(), v(), attributes);
    result(out, queries(kOut, kInOut, out_stride()));
    result(lse, statistics());
    return graph_;
  }

  std::shared_ptr<Graph> backward() {
    auto attributes = masked<fe::graph::SDPA_backward_attributes>("attention gradient");
    attributes.set_deterministic_algorithm(true)
        .set_max_total_seq_len_q(p_.total_q)
        .set_max_total_seq_len_kv(p_.total_k);
    const auto [dq, dk, dv] = graph_->sdpa_backward(
        q(), k(), v(), input(queries(kOut, kInOut, out_stride())),
        input(queries(kDout, kInOut, out_stride())), input(statistics()), attributes);
    result(dq, queries(kDq, kInDq, p_.dq_stride));
    result(dk, keys(kDk, kInDk, p_.dk_stride));
    result(dv, keys(kDv, kInDv, p_.dv_stride));
    return graph_;
  }

 private:
  template <typename Attributes>
  Attributes masked(const char* name) {
    Attributes attributes;
    attributes.set_name(name)
        .set_attn_scale(p_.scale)
        .set_padding_mask(true)
        .set_seq_len_q(list(kRowsQ))
        .set_seq_len_kv(list(kRowsK));
    if (p_.causal)
      attributes
          .set_diagonal_alignment(p_.last_meets_last ? fe::DiagonalAlignment_t::BOTTOM_RIGHT
                                                     : fe::DiagonalAlignment_t::TOP_LEFT)
          .set_diagonal_band_right_bound(0);
    // As ours: a query sees itself and window − 1 keys before.
    if (p_.window > 0) attributes.set_diagonal_band_left_bound(static_cast<int>(p_.window));
    return attributes;
  }

  std::int64_t out_stride() const { return p_.heads * p_.head_dim; }

  TensorPointer input(const Tensor_attributes& attributes) { return graph_->tensor(attributes); }
  TensorPointer q() { return input(queries(kQ, kInQ, p_.q_stride)); }
  TensorPointer k() { return input(keys(kK, kInK, p_.k_stride)); }
  TensorPointer v() { return input(keys(kV, kInV, p_.v_stride)); }

  static void result(const TensorPointer& tensor, Tensor_attributes like) {
    tensor->set_output(true)
        .set_uid(like.get_uid())
        .set_dim(like.get_dim())
        .set_stride(like.get_stride())
        .set_data_type(like.get_data_type())
        .set_ragged_offset(like.get_ragged_offset());
  }

  Tensor_attributes queries(Name name, CudnnList borders, std::int64_t stride) {
    return heads(name, borders, p_.heads, p_.max_q, stride);
  }
  Tensor_attributes keys(Name name, CudnnList borders, std::int64_t stride) {
    return heads(name, borders, p_.kv_heads, p_.max_k, stride);
  }
  Tensor_attributes heads(Name name, CudnnList borders, std::int64_t count, std::int64_t rows,
                          std::int64_t stride) {
    Tensor_attributes attributes;
    attributes.set_uid(name)
        .set_dim({p_.sequences, count, rows, p_.head_dim})
        .set_stride({rows * stride, p_.head_dim, stride, 1})
        .set_data_type(fe::DataType_t::BFLOAT16)
        .set_ragged_offset(list(borders));
    return attributes;
  }

  Tensor_attributes statistics() {
    Tensor_attributes attributes;
    attributes.set_uid(kLse)
        .set_dim({p_.sequences, p_.heads, p_.max_q, 1})
        .set_stride({p_.max_q * p_.heads, 1, p_.heads, 1})
        .set_data_type(fe::DataType_t::FLOAT)
        .set_ragged_offset(list(kInLse));
    return attributes;
  }

  TensorPointer list(CudnnList which) {
    TensorPointer& tensor = lists_.at(which);
    if (tensor != nullptr) return tensor;
    const std::int64_t entries = p_.sequences + (which == kRowsQ || which == kRowsK ? 0 : 1);
    tensor = graph_->tensor(Tensor_attributes()
                                .set_uid(name_of(which))
                                .set_dim({entries, 1, 1, 1})
                                .set_stride({1, 1, 1, 1})
                                .set_data_type(fe::DataType_t::INT32));
    return tensor;
  }

  const CudnnProblem p_;
  std::shared_ptr<Graph> graph_ = std::make_shared<Graph>();
  std::array<TensorPointer, kCudnnLists> lists_;
};

// Chooses kernels and makes them, which takes about a second. Throws where cuDNN has none. Without
// a handle the graph knows the card's properties.
void plan(Graph& graph, cudnnHandle_t handle) {
  need(graph.validate());
  need(handle != nullptr ? graph.build_operation_graph(handle) : graph.build_operation_graph());
  need(graph.create_execution_plans({fe::HeurMode_t::A, fe::HeurMode_t::FALLBACK}));
  need(graph.check_support());
  need(graph.build_plans());
}

struct Plan {
  CudnnProblem problem;
  bool backward;
  std::shared_ptr<Graph> graph;  // null: cuDNN has none
  std::int64_t workspace = 0;
};

}  // namespace

struct CudnnAttention::State {
  static constexpr std::size_t kMaximum = 256;  // ragged batches make ever new shapes

  int architecture = 0;
  cudnnHandle_t handle = nullptr;
  DeviceMemory workspace;
  std::vector<Plan> plans;  // the latest last

  ~State() {
    if (handle != nullptr) cudnnDestroy(handle);
  }

  // Layers ask for one plan in turns: the search ends at once.
  const Plan& find(const CudnnProblem& problem, bool backward) {
    for (auto plan = plans.rbegin(); plan != plans.rend(); ++plan)
      if (plan->backward == backward && plan->problem == problem) return *plan;
    if (plans.size() >= kMaximum) {
      plans.erase(plans.begin());
      outdate_recordings();
    }
    plans.push_back(make(problem, backward));
    return plans.back();
  }

  Plan make(const CudnnProblem& problem, bool backward) const {
    Plan made{.problem = problem, .backward = backward, .graph = nullptr};
    try {
      Builder builder(problem, architecture);
      auto graph = backward ? builder.backward() : builder.forward();
      plan(*graph, handle);
      need(graph->get_workspace_size(made.workspace));
      made.graph = std::move(graph);
    } catch (const std::exception& error) {
      log_warning(
          "attention without cuDNN for {} sequences of up to {} queries, {} heads of {}: {}",
          problem.sequences, problem.max_q, problem.heads, problem.head_dim, error.what());
    }
    return made;
  }

  void run(const Plan& plan, const CudnnProblem& problem, const CudnnTensors& t,
           cudaStream_t stream) {
    const auto pointer = [](const void* memory) { return const_cast<void*>(memory); };
    std::unordered_map<std::int64_t, void*> pack = {
        {kQ, pointer(t.q)}, {kK, pointer(t.k)}, {kV, pointer(t.v)}, {kOut, t.out}, {kLse, t.lse}};
    if (plan.backward) {
      pack.insert({{kDout, pointer(t.dout)}, {kDq, t.dq}, {kDk, t.dk}, {kDv, t.dv}});
    }
    const int lists = plan.backward ? kCudnnLists : kInDq;
    for (int list = 0; list < lists; ++list)
      pack.emplace(name_of(list), pointer(t.lists + list * list_pitch(problem)));
    workspace.reserve(static_cast<std::size_t>(plan.workspace));
    check_library(cudnnSetStream(handle, stream), "cudnnSetStream");
    const fe::error_t status = plan.graph->execute(handle, pack, workspace.data());
    if (status.is_bad())
      throw_library_status(static_cast<int>(status.code), status.err_msg.c_str(),
                           plan.backward ? "cuDNN's attention backward" : "cuDNN's attention");
  }

  static void check_library(cudnnStatus_t status, const char* call) {
    if (status != CUDNN_STATUS_SUCCESS)
      throw_library_status(static_cast<int>(status), cudnnGetErrorString(status), call);
  }
};

CudnnAttention::CudnnAttention(int card) : card_(card) {}
CudnnAttention::~CudnnAttention() = default;

const CudnnSupport& CudnnAttention::support() {
  if (state_ != nullptr) return support_;
  state_ = std::make_unique<State>();
  const CudnnLibrary& library = cudnn_library();
  std::string absence = library.absence;
  if (absence.empty() && cudnnCreate(&state_->handle) != CUDNN_STATUS_SUCCESS)
    absence = "cuDNN cannot start on this card";
  if (!absence.empty()) {
    log_info("attention runs on Tandem's own kernels: {}", absence);
    return support_;
  }
  support_.version = library.version;
  support_.architecture = state_->architecture = architecture_of(card_);
  log_info("attention in bf16 runs on cuDNN {}.{}.{}", library.version / 10000,
           library.version / 100 % 100, library.version % 100);
  return support_;
}

bool CudnnAttention::forward(const CudnnProblem& problem, const CudnnTensors& tensors,
                             cudaStream_t stream) {
  const Plan& plan = state_->find(problem, false);
  if (plan.graph == nullptr) return false;
  state_->run(plan, problem, tensors, stream);
  return true;
}

bool CudnnAttention::backward(const CudnnProblem& problem, const CudnnTensors& tensors,
                              cudaStream_t stream) {
  const Plan& plan = state_->find(problem, true);
  if (plan.graph == nullptr) return false;
  state_->run(plan, problem, tensors, stream);
  return true;
}

std::string cudnn_refusal(const CudnnProblem& problem, bool backward, const std::string& card,
                          int architecture) {
  if (!cudnn_library().absence.empty()) return cudnn_library().absence;
  try {
    auto properties = std::make_shared<fe::DeviceProperties>();
    need(properties->deserialize({card.begin(), card.end()}));
    Builder builder(problem, architecture);
    const auto graph = backward ? builder.backward() : builder.forward();
    graph->set_device_properties(properties);
    plan(*graph, nullptr);
    return {};
  } catch (const std::exception& error) {
    return error.what();
  }
}

}  // namespace tandem::runtime::cuda
